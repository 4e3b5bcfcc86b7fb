/* What a C program sees of WASI on a board: arguments, environment, input, clocks, sleep, errors and its exit status. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static long long microseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000LL + now.tv_nsec / 1000;
}

static void show_sleep(void) {
    struct timespec duration = {0, 20000000};
    long long before = microseconds();
    nanosleep(&duration, NULL);
    printf("slept %s\n", microseconds() - before >= 20000 ? "20 ms" : "too little");
}

static void show_errors(void) {
    unsigned char bytes[8];
    printf("random %s\n", getentropy(bytes, sizeof bytes) == 0 ? "works" : "fails");
    printf("open %s\n", open("file", O_RDONLY) < 0 ? "fails" : "works");
    errno = 0;
    printf("seek %s\n", lseek(STDIN_FILENO, 0, SEEK_SET) < 0 && errno == ESPIPE ? "ESPIPE" : "other");
    printf("terminal %d\n", isatty(STDOUT_FILENO));
}

static int shout_input(void) {
    int lines = 0;
    for (int c; (c = getchar()) != EOF;) {
        putchar(toupper(c));
        lines += c == '\n';
    }
    return lines;
}

int main(int argc, char **argv) {
    for (int i = 0; i < argc; i++)
        printf("argument %s\n", argv[i]);
    const char *colour = getenv("COLOUR");
    printf("colour %s\n", colour ? colour : "none");
    show_sleep();
    show_errors();
    return shout_input();
}
