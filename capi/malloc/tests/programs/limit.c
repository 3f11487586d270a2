// Runs under a limit on address space: gets ENOMEM there, and goes on with what it frees.
//
// Its argument is the limit in KiB, of which it shall get at least a third.
#include "check.h"

#include <pthread.h>
#include <sys/resource.h>

#define OBJECTS_MOST 20000000

// Allocates objects of a size, linked, until there is no memory; returns how many, all freed.
static size_t exhaust(size_t size) {
    void **last = NULL;
    size_t count = 0;
    errno = 0;
    for (; count < OBJECTS_MOST; count++) {
        void **object = malloc(size);
        if (!object) break;
        memset(object, 1, size);
        *object = last;
        last = object;
    }
    CHECK(errno == ENOMEM);
    CHECK(realloc(last, (size_t)1 << 30) == NULL && errno == ENOMEM);
    CHECK(calloc(1 << 15, 1 << 15) == NULL && errno == ENOMEM);
    void *place = NULL;
    CHECK(posix_memalign(&place, 4096, (size_t)1 << 30) == ENOMEM && !place);
    while (last) {
        void **object = last;
        last = *object;
        free(object);
    }
    return count;
}

static void *work(void *unused) {
    (void)unused;
    for (int i = 0; i < 1000; i++) {
        void *object = malloc(i * 50);
        if (object) memset(object, 1, i * 50);
        free(object);
    }
    return NULL;
}

int main(int count, char **arguments) {
    begin();
    CHECK(count == 2);
    size_t limit = (size_t)atol(arguments[1]) << 10;
    struct rlimit real;
    CHECK(getrlimit(RLIMIT_AS, &real) == 0 && real.rlim_cur == limit);
    static const size_t SIZES[] = { 1 << 20, 100000, 3000, 200, 1 << 20, 32, 5 << 20 };
    for (size_t i = 0; i < sizeof SIZES / sizeof *SIZES; i++) {
        size_t got = exhaust(SIZES[i]) * SIZES[i];
        printf("%zu objects of %zu bytes: %zu KiB\n", got / SIZES[i], SIZES[i], got >> 10);
        CHECK(got >= limit / 3);
        void *object = malloc(1000);
        CHECK(object);
        free(object);
    }
    for (int i = 0; i < 20; i++) {
        pthread_t thread;
        pthread_attr_t small;
        pthread_attr_init(&small);
        pthread_attr_setstacksize(&small, 64 << 10);
        if (pthread_create(&thread, &small, work, NULL) == 0) pthread_join(thread, NULL);
    }
    return end();
}
