/* Around the networks of a program that has a C library: `program run|parallel INPUTS` writes every output. */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static FILE *inputs;

static void stop(int code) {
    exit(code);
}

static void take(void *words, size_t count) {
    if (fread(words, 4, count, inputs) != count) stop(2);
}

static void give(const void *words, size_t count) {
    if (fwrite(words, 4, count, stdout) != count) stop(3);
}

static void run_all(int parallel);

int main(int count, char **arguments) {
    if (count != 3) return 4;
    inputs = fopen(arguments[2], "rb");
    if (!inputs) return 5;
    run_all(strcmp(arguments[1], "parallel") == 0);
    return 0;
}
