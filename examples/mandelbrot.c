/* The Mandelbrot set in single precision, drawn with characters; `--invoke iterations X Y LIMIT` asks for one point. */
#include <unistd.h>

enum { WIDTH = 64, HEIGHT = 24, LIMIT = 60 };

/* How many steps of z = z*z + c stay within the circle of radius 2, at most `limit`. */
__attribute__((export_name("iterations"))) int iterations(float x, float y, int limit) {
    float re = 0, im = 0;
    int n = 0;
    while (n < limit && re * re + im * im <= 4) {
        float next = re * re - im * im + x;
        im = 2 * re * im + y;
        re = next;
        n++;
    }
    return n;
}

int main(void) {
    static const char shades[] = " .,:;-=+*#%@";
    enum { LAST = sizeof shades - 2 };
    for (int row = 0; row < HEIGHT; row++) {
        char line[WIDTH + 1];
        for (int column = 0; column < WIDTH; column++) {
            float x = -2.2f + 3.2f * (float)column / WIDTH, y = -1.2f + 2.4f * (float)row / HEIGHT;
            int n = iterations(x, y, LIMIT);
            line[column] = shades[n == LIMIT ? LAST : n / 2 < LAST ? n / 2 : LAST - 1];
        }
        line[WIDTH] = '\n';
        write(STDOUT_FILENO, line, sizeof line);
    }
    return 0;
}
