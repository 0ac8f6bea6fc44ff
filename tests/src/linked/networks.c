static unsigned char memory[ARENA + 64];
#if PACKED
static unsigned char packed[PACKED + 64];
#endif

static void *aligned(unsigned char *bytes) {
    return bytes + (64u - (unsigned)((uintptr_t)bytes % 64u)) % 64u;
}

/* Backwards, in pieces of three. */
#define PARALLEL_FOR(NAME) \
    static void NAME##_backwards(void *context, NAME##_task task, void *work, size_t tasks) { \
        size_t end = tasks; \
        *(size_t *)context += tasks; \
        while (end > 0) { \
            size_t begin = end < 3 ? 0 : end - 3; \
            task(work, begin, end); \
            end = begin; \
        } \
    }

