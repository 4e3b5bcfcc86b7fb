class Shape {
  constructor(public width: f64, public height: f64) {}
  diagonal(): f64 {
    return Math.sqrt(this.width * this.width + this.height * this.height);
  }
}

const lengths = new Map<string, i32>();
for (let i = 0, words = "one three five".split(" "); i < words.length; i++) lengths.set(words[i], words[i].length);
console.log(lengths.keys().join(";") + " " + lengths.get("three").toString());
console.log(`${[3, 1, 2].sort().join(",")} ${new Shape(3, 4).diagonal()} ${Math.random() < 1}`);

export function twice(value: i32): i32 {
  return 2 * value;
}
