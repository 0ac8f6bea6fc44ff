/* Reads 360 pictures of handwritten digits: digits IMAGES.npy LABELS.npy */

#include <stdio.h>
#include <string.h>

#include "digits.h"

enum { PICTURES = 360, NPY_HEADER = 128, CLASSES = digits_output_out0_COUNT, PIXELS = digits_input_in0_COUNT };

/* The memory that the network works in, and the pictures and labels as they stand in their files. */
static unsigned char memory[digits_ARENA_BYTES + digits_ARENA_ALIGNMENT];
static float pictures[PICTURES][PIXELS];
static unsigned char labels[PICTURES];

/* The first address in `bytes` that is a multiple of `alignment`. C11's alignas does it without the spare bytes. */
static void *aligned(unsigned char *bytes, size_t alignment) {
    size_t beyond = (size_t)((uintptr_t)bytes % alignment);
    return beyond == 0 ? bytes : bytes + (alignment - beyond);
}

/* What follows the header of a file of NumPy's. */
static int read_npy(const char *path, void *values, size_t bytes) {
    FILE *file = fopen(path, "rb");
    int whole = file && fseek(file, NPY_HEADER, SEEK_SET) == 0 && fread(values, 1, bytes, file) == bytes;
    if (!whole) fprintf(stderr, "can't read %s\n", path);
    if (file) fclose(file);
    return whole;
}

static int most_probable(const float *probabilities) {
    int best = 0, i;
    for (i = 1; i < CLASSES; i++) {
        if (probabilities[i] > probabilities[best]) best = i;
    }
    return best;
}

int main(int count, char **arguments) {
    void *arena = aligned(memory, digits_ARENA_ALIGNMENT);
    float probabilities[CLASSES];
    int i, right = 0;
    if (count != 3) {
        fprintf(stderr, "use: digits IMAGES.npy LABELS.npy\n");
        return 2;
    }
    if (!read_npy(arguments[1], pictures, sizeof pictures) || !read_npy(arguments[2], labels, sizeof labels)) return 1;
    for (i = 0; i < PICTURES; i++) {
        digits_run(arena, pictures[i], probabilities);
        right += most_probable(probabilities) == labels[i];
    }
    printf("%d of %d pictures are read right, by model %.8s\n", right, PICTURES, digits_MODEL_HASH);
    return 0;
}
