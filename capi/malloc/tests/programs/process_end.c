// Allocates and frees while the process ends: in handlers of atexit, in destructors of the program,
// with threads that go on meanwhile.
#include "check.h"

#include <pthread.h>
#include <stdatomic.h>

static void *early[100], *late[100];
static _Atomic(void *) passed[64];

__attribute__((constructor)) static void before_main(void) {
    for (int i = 0; i < 100; i++) early[i] = malloc(1000 * i);
}

__attribute__((destructor)) static void after_all(void) {
    for (int i = 0; i < 100; i++) free(early[i]);
    free(malloc(50000));
    printf("end\n");
}

static void at_exit_first(void) {
    for (int i = 0; i < 100; i++) {
        free(late[i]);
        late[i] = calloc(i, 100);
    }
    char *line = NULL;
    if (asprintf(&line, "%s", "exit") == 4) puts(line);
    free(line);
}

static void at_exit_last(void) {
    for (int i = 0; i < 100; i++) late[i] = realloc(late[i], 5000);
    atexit(at_exit_first);
}

static void *work(void *seed) {
    uint64_t state = (uintptr_t)seed;
    for (;;) {
        void *object = malloc(next(&state) % 60000);
        free(atomic_exchange(&passed[next(&state) % 64], object));
    }
    return NULL;
}

int main(void) {
    begin();
    for (int i = 0; i < 100; i++) late[i] = malloc(i * 30);
    atexit(at_exit_last);
    pthread_t thread;
    for (uintptr_t i = 1; i <= 3; i++) pthread_create(&thread, NULL, work, (void *)i);
    usleep(20000);
    CHECK(failures == 0);
    puts("main");
    return end();
}
