// Threads that allocate and free while they end: from destructors of keys, several rounds of them,
// made before and after the allocator's own.
#include "check.h"

#include <pthread.h>
#include <stdatomic.h>

#define KEYS 40
#define THREADS 400
#define ROUNDS 4
#define LEFT 64

struct Kept {
    int key;
    int rounds;
    void *objects[8];
};

static pthread_key_t keys[KEYS];
static _Atomic(void *) left[LEFT];
static atomic_int destroyed;

static void fill(struct Kept *kept) {
    for (int i = 0; i < 8; i++) {
        size_t size = (size_t)(kept->key * 131 + i * 977 + 1) % 50000 + 8;
        kept->objects[i] = malloc(size);
        CHECK(kept->objects[i]);
        memset(kept->objects[i], kept->key, size);
    }
}

// Frees what the thread had, what another has left, allocates anew, and asks for another round.
static void destroy(void *value) {
    struct Kept *kept = value;
    for (int i = 0; i < 8; i++) {
        CHECK(*(unsigned char *)kept->objects[i] == kept->key);
        free(kept->objects[i]);
    }
    void *mine = malloc(3000), *zero = calloc(7, 700);
    CHECK(mine && zero);
    mine = realloc(mine, 100000);
    free(atomic_exchange(&left[kept->key % LEFT], mine));
    free(zero);
    atomic_fetch_add(&destroyed, 1);
    if (++kept->rounds < ROUNDS) {
        fill(kept);
        pthread_setspecific(keys[kept->key], kept);
    } else {
        free(kept);
    }
}

static void *work(void *number) {
    // Some threads allocate nothing themselves: what they free is all they do.
    if ((uintptr_t)number % 4 == 3) {
        free(atomic_exchange(&left[(uintptr_t)number % LEFT], NULL));
        return NULL;
    }
    for (int key = 0; key < KEYS; key++) {
        struct Kept *kept = malloc(sizeof *kept);
        CHECK(kept);
        *kept = (struct Kept){ .key = key };
        fill(kept);
        pthread_setspecific(keys[key], kept);
    }
    return NULL;
}

static void run(void) {
    for (uintptr_t first = 0; first < THREADS; first += 8) {
        pthread_t threads[8];
        for (uintptr_t i = 0; i < 8; i++) {
            CHECK(pthread_create(&threads[i], NULL, work, (void *)(first + i)) == 0);
        }
        for (int i = 0; i < 8; i++) pthread_join(threads[i], NULL);
    }
}

int main(void) {
    begin();
    for (int key = 0; key < KEYS; key++) CHECK(pthread_key_create(&keys[key], destroy) == 0);
    run();
    long before = status_kib("VmRSS");
    run();
    run();
    long grown = status_kib("VmRSS") - before;
    CHECK(atomic_load(&destroyed) == 3 * THREADS / 4 * 3 * KEYS * ROUNDS);
    // What eight threads hold at once varies; what all 800 did is a hundred times this.
    CHECK(grown < 32 << 10);
    printf("%ld KiB more after three times the threads\n", grown);
    for (int i = 0; i < LEFT; i++) free(atomic_exchange(&left[i], NULL));
    return end();
}
