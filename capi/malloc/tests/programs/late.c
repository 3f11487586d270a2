// Loads the library while it runs, uses it through pointers from threads older and younger than
// it, closes it, and lets them end.
#include "check.h"

#include <pthread.h>
#include <semaphore.h>

static void *(*late_malloc)(size_t);
static void *(*late_calloc)(size_t, size_t);
static void *(*late_realloc)(void *, size_t);
static void *(*late_reallocarray)(void *, size_t, size_t);
static void *(*late_memalign)(size_t, size_t);
static void (*late_free)(void *);
static size_t (*late_usable)(void *);
static sem_t is_loaded, is_used;
static void *passed[2];

static void use(void) {
    void *objects[200];
    for (int i = 0; i < 200; i++) {
        size_t size = (size_t)i * i * 3;
        objects[i] = i % 2 ? late_malloc(size) : late_calloc(1, size);
        CHECK(objects[i] && late_usable(objects[i]) >= size);
        memset(objects[i], 1, size);
    }
    // Those that call others of the family call the library's.
    late_free(late_memalign(64, 1000));
    late_free(late_realloc(NULL, 1000));
    late_free(late_reallocarray(NULL, 10, 100));
    for (int i = 0; i < 200; i++) {
        objects[i] = late_realloc(objects[i], 1000);
        CHECK(objects[i]);
    }
    for (int i = 0; i < 200; i++) late_free(objects[i]);
}

static void *older(void *number) {
    while (sem_wait(&is_loaded)) {}
    use();
    passed[(uintptr_t)number] = late_malloc(5000);
    sem_post(&is_used);
    return NULL;
}

static void *younger(void *unused) {
    (void)unused;
    use();
    sem_post(&is_used);
    usleep(20000);
    return NULL;
}

int main(int count, char **arguments) {
    alarm(SECONDS_MOST);
    CHECK(count == 2);
    sem_init(&is_loaded, 0, 0);
    sem_init(&is_used, 0, 0);
    pthread_t threads[4];
    for (uintptr_t i = 0; i < 2; i++) pthread_create(&threads[i], NULL, older, (void *)i);
    void *library = dlopen(arguments[1], RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    late_malloc = (void *(*)(size_t))dlsym(library, "malloc");
    late_calloc = (void *(*)(size_t, size_t))dlsym(library, "calloc");
    late_realloc = (void *(*)(void *, size_t))dlsym(library, "realloc");
    late_reallocarray = (void *(*)(void *, size_t, size_t))dlsym(library, "reallocarray");
    late_memalign = (void *(*)(size_t, size_t))dlsym(library, "memalign");
    late_free = (void (*)(void *))dlsym(library, "free");
    late_usable = (size_t (*)(void *))dlsym(library, "malloc_usable_size");
    CHECK(late_malloc && late_malloc != malloc && late_free && late_free != free);
    for (int i = 0; i < 2; i++) sem_post(&is_loaded);
    for (int i = 2; i < 4; i++) pthread_create(&threads[i], NULL, younger, NULL);
    use();
    for (int i = 0; i < 4; i++) sem_wait(&is_used);
    for (int i = 0; i < 2; i++) late_free(passed[i]);
    // Its code stays: threads that have used it end after this.
    dlclose(library);
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    use();
    return end();
}
