use std::collections::HashMap;
use std::io::BufRead;
use std::time::{Duration, Instant};

fn parse(text: &str) -> Result<u32, std::num::ParseIntError> {
    text.parse()
}

fn main() {
    println!("{:.3} {:?} {:e} {:#x}", 3.14159, 0.1f32, 12345.678, 255);
    let squares: Vec<u32> = (0..100).map(|x| x * x).collect();
    println!("{} {:?}", squares.iter().sum::<u32>(), parse("12x").is_err());
    let mut counts: HashMap<String, i32> = HashMap::new();
    for line in std::io::stdin().lock().lines() {
        *counts.entry(line.unwrap()).or_default() += 1;
    }
    println!("{:?} {:?}", counts, std::env::var("KEY"));
    println!("{:?}", std::env::args().skip(1).collect::<Vec<_>>());
    let begin = Instant::now();
    std::thread::sleep(Duration::from_millis(5));
    println!("{} {}", begin.elapsed() >= Duration::from_millis(5), std::fs::File::open("file").is_err());
    let boxed: Vec<Box<dyn Fn(i32) -> i32>> = vec![Box::new(|x| x + 1), Box::new(move |x| x * squares[3] as i32)];
    std::process::exit(boxed.iter().fold(4, |value, function| function(value)));
}
