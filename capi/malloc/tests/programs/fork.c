// Forks while other threads allocate and free all the time: each child does so at once, frees what
// its parent allocated, begins threads, and ends.
#include "check.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>

#define THREADS 4
#define FORKS 200
#define SHARED_SLOTS 512

static _Atomic(void *) shared[SHARED_SLOTS];
static atomic_int is_over;

static size_t some_size(uint64_t *state) {
    uint64_t kind = next(state) % 100;
    if (kind < 80) return next(state) % 500;
    if (kind < 98) return next(state) % 40000;
    return next(state) % 600000;
}

// Puts objects where others take and free them.
static void exchange(uint64_t *state, int turns) {
    for (int turn = 0; turn < turns; turn++) {
        size_t size = some_size(state);
        unsigned char *object = malloc(size);
        if (!object) _exit(3);
        if (size) object[0] = object[size - 1] = 1;
        free(atomic_exchange(&shared[next(state) % SHARED_SLOTS], object));
    }
}

static void *work(void *seed) {
    uint64_t state = (uintptr_t)seed;
    while (!atomic_load(&is_over)) exchange(&state, 100);
    return NULL;
}

static void *work_in_child(void *seed) {
    uint64_t state = (uintptr_t)seed;
    exchange(&state, 500);
    return NULL;
}

static void child(int number) {
    alarm(30);
    uint64_t state = 7 + number;
    exchange(&state, 1000);
    for (int i = 0; i < SHARED_SLOTS; i++) free(atomic_exchange(&shared[i], NULL));
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) {
        if (pthread_create(&threads[i], NULL, work_in_child, (void *)(uintptr_t)(i + 1))) _exit(4);
    }
    exchange(&state, 500);
    for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
    // A child of a child.
    if (number % 20 == 0) {
        pid_t grandchild = fork();
        if (grandchild == 0) {
            exchange(&state, 500);
            _exit(0);
        }
        int status = -1;
        waitpid(grandchild, &status, 0);
        if (status != 0) _exit(5);
    }
    if (number % 10 == 0) exit(0);
    _exit(0);
}

// What programs register for forks may allocate, before them too.
static void around_fork(void) {
    void *object = malloc(70000), *small = malloc(70);
    if (!object || !small) _exit(6);
    free(small);
    free(object);
}

// Forks from this thread, the first or another.
static void *fork_often(void *unused) {
    (void)unused;
    uint64_t state = 99;
    for (int number = 0; number < FORKS / 2; number++) {
        exchange(&state, 20);
        pid_t process = fork();
        if (process == 0) child(number);
        int status = -1;
        CHECK(process > 0 && waitpid(process, &status, 0) == process);
        CHECK(status == 0);
        if (status != 0) fprintf(stderr, "fork %d: status %#x\n", number, status);
    }
    return NULL;
}

int main(void) {
    begin();
    pthread_atfork(around_fork, around_fork, around_fork);
    pthread_t threads[THREADS], forker;
    for (uintptr_t i = 0; i < THREADS; i++) pthread_create(&threads[i], NULL, work, (void *)(i + 1));
    fork_often(NULL);
    pthread_create(&forker, NULL, fork_often, NULL);
    pthread_join(forker, NULL);
    atomic_store(&is_over, 1);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    return end();
}
