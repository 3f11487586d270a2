// Ten thousand threads that live shortly: what they held is used again by those after them.
#include "check.h"

#include <pthread.h>
#include <stdatomic.h>

#define AT_ONCE 10
#define FIRST 100
#define ALL 10000
#define GROWN_KIB_MOST 4096
#define PASSED 256

static _Atomic(void *) passed[PASSED];
static pthread_barrier_t all_hold;

static void *work(void *number) {
    uint64_t state = (uintptr_t)number * 2654435761u + 1;
    void *objects[100];
    for (int i = 0; i < 100; i++) {
        // The same in each thread, so that a hundred of them have met all there is to meet.
        size_t size = i % 10 == 0 ? 600 * i : 10 * i;
        objects[i] = malloc(size);
        CHECK(objects[i]);
        memset(objects[i], 1, size);
    }
    // Each ten are there at once, the first like the last.
    pthread_barrier_wait(&all_hold);
    for (int i = 0; i < 100; i++) {
        // One in ten is freed by another thread, after this one's end mostly.
        if (i % 10 == 5) {
            free(atomic_exchange(&passed[next(&state) % PASSED], objects[i]));
        } else {
            free(objects[i]);
        }
    }
    return NULL;
}

static void run(uintptr_t from, uintptr_t to) {
    for (uintptr_t number = from; number < to; number += AT_ONCE) {
        pthread_t threads[AT_ONCE];
        for (uintptr_t i = 0; i < AT_ONCE; i++) {
            CHECK(pthread_create(&threads[i], NULL, work, (void *)(number + i)) == 0);
        }
        for (int i = 0; i < AT_ONCE; i++) pthread_join(threads[i], NULL);
    }
}

int main(void) {
    begin();
    pthread_barrier_init(&all_hold, NULL, AT_ONCE);
    run(0, FIRST);
    long before = status_kib("VmRSS");
    run(FIRST, ALL);
    long after = status_kib("VmRSS");
    printf("%ld KiB after %d threads, %ld KiB after %d\n", before, FIRST, after, ALL);
    CHECK(after - before < GROWN_KIB_MOST);
    return end();
}
