#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int ascending(const void *a, const void *b) {
    return *(const int *)a - *(const int *)b;
}

static void goodbye(void) {
    puts("goodbye");
}

int main(int argc, char **argv) {
    int numbers[] = {5, -3, 9};
    char line[80], *words = strdup("a,b;c");
    atexit(goodbye);
    qsort(numbers, 3, sizeof *numbers, ascending);
    printf("%d %5.2f %g %e %a %lld %x %s\n", numbers[0], sqrt(2), 0.1, exp(10), 0.5, 1LL << 40, 255, argv[argc - 1]);
    for (char *word = strtok(words, ",;"); word; word = strtok(NULL, ",;"))
        printf("[%s] ", word);
    char *large = realloc(malloc(5000), 9000);
    printf("%s %ld %.1f\n", large ? "allocated" : "no memory", strtol("0x1f", NULL, 0), atof("2.5"));
    struct timespec now, pause = {0, 5000000};
    nanosleep(&pause, NULL);
    clock_gettime(CLOCK_MONOTONIC, &now);
    printf("%s %s", now.tv_nsec >= 5000000 ? "slept" : "did not sleep", asctime(gmtime(&(time_t){86400})));
    while (fgets(line, sizeof line, stdin))
        printf("%s: %c\n", getenv("KEY"), toupper(line[0]));
    if (!fopen("file", "r"))
        printf("%s\n", strerror(errno));
    exit(42);
}
