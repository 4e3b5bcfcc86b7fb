#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(void) {
    char *text = malloc(1000);
    if (text == NULL)
        return 1;
    memset(text, '-', 999);
    text[999] = '\0';
    printf("%zu bytes\n", strlen(text));
    free(text);
    return 0;
}
