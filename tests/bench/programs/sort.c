/* Strings, indirect calls and recursion: quicksort of pointers to words through a comparison function. */
#include "bench.h"

enum { WORDS = 128, LENGTH = 8 };

typedef int (*comparison)(const char *, const char *);

static char text[WORDS][LENGTH];
static const char *words[WORDS];

static int by_letters(const char *a, const char *b) {
    while (*a && *a == *b)
        a++, b++;
    return (unsigned char)*a - (unsigned char)*b;
}

static int length(const char *word) {
    int count = 0;
    while (word[count])
        count++;
    return count;
}

static int by_length(const char *a, const char *b) {
    int difference = length(a) - length(b);
    return difference ? difference : by_letters(a, b);
}

static void make_words(uint32_t seed) {
    for (int i = 0; i < WORDS; i++) {
        int count = 2 + (int)(seed % (LENGTH - 2));
        for (int j = 0; j < count; j++) {
            seed = seed * 1103515245 + 12345;
            text[i][j] = (char)('a' + (seed >> 16) % 6);
        }
        text[i][count] = 0;
        words[i] = text[i];
    }
}

static void quicksort(const char **list, int count, comparison compare) {
    while (count > 1) {
        const char *pivot = list[count / 2];
        int low = 0, high = count - 1;
        while (low <= high) {
            while (compare(list[low], pivot) < 0)
                low++;
            while (compare(list[high], pivot) > 0)
                high--;
            if (low <= high) {
                const char *word = list[low];
                list[low++] = list[high];
                list[high--] = word;
            }
        }
        quicksort(list + low, count - low, compare);
        count = high + 1;
    }
}

uint32_t run(uint32_t n) {
    static const comparison orders[] = {by_letters, by_length};
    uint32_t checksum = 0;
    while (n--) {
        make_words(n);
        quicksort(words, WORDS, orders[n % 2]);
        for (int i = 0; i < WORDS; i++)
            for (const char *p = words[i]; *p; p++)
                checksum = checksum * 33 + (uint32_t)*p;
    }
    return checksum;
}
