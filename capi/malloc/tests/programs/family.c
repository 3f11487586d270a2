// The C family, function by function: what each gives, refuses and does to errno.
#include "check.h"

#include <malloc.h>
#include <stddef.h>
#include <sys/mman.h>

#define KEPT 77

static const char *const NAMES[] = {
    "malloc", "calloc", "realloc", "free", "reallocarray", "memalign", "aligned_alloc",
    "posix_memalign", "valloc", "pvalloc", "malloc_usable_size", "free_sized",
    "free_aligned_sized", "cfree", "malloc_trim", "mallinfo2", "malloc_stats", "malloc_info",
};

static volatile size_t HUGE_SIZES[] = {
    SIZE_MAX, SIZE_MAX - 1, SIZE_MAX - 15, SIZE_MAX - 4096, SIZE_MAX - 16384, SIZE_MAX / 2 + 2,
    (size_t)PTRDIFF_MAX + 1, PTRDIFF_MAX, PTRDIFF_MAX - 16383, (size_t)1 << 48, (size_t)1 << 47,
};
#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static int is_aligned(const void *object, size_t align) {
    return ((uintptr_t)object & (align - 1)) == 0;
}

// Every byte that may be used can be written, and only then is it ours.
static void use(void *object, size_t size) {
    size_t usable = malloc_usable_size(object);
    CHECK(usable >= size);
    memset(object, 0xa5, usable);
}

static void refused(void *object, int number) {
    CHECK(object == NULL);
    CHECK(errno == number);
    errno = KEPT;
}

static void sizes(void) {
    errno = KEPT;
    for (size_t size = 0; size < 70000; size += size < 2000 ? 1 : 61) {
        void *object = malloc(size), *other = malloc(size);
        CHECK(object && other && object != other);
        CHECK(is_aligned(object, 16) && is_aligned(other, 16));
        use(object, size);
        use(other, size);
        free(object);
        free(other);
    }
    for (size_t size = 1 << 16; size <= (size_t)64 << 20; size *= 2) {
        char *object = malloc(size + 1);
        CHECK(object && is_aligned(object, 16));
        object[0] = object[size] = 1;
        free(object);
    }
    free(NULL);
    CHECK(errno == KEPT);
    for (size_t i = 0; i < COUNT(HUGE_SIZES); i++) refused(malloc(HUGE_SIZES[i]), ENOMEM);
}

static int is_zero(const unsigned char *bytes, size_t size) {
    for (size_t i = 0; i < size; i++) {
        if (bytes[i]) return 0;
    }
    return 1;
}

static void zeroed(void) {
    errno = KEPT;
    for (size_t size = 1; size < (size_t)8 << 20; size += size / 7 + 1) {
        for (int turn = 0; turn < 3; turn++) {
            void *dirty = malloc(size);
            CHECK(dirty);
            use(dirty, size);
            free(dirty);
            void *object = calloc(turn + 1, size / (turn + 1));
            CHECK(object && is_aligned(object, 16));
            CHECK(is_zero(object, size / (turn + 1) * (turn + 1)));
            use(object, size / (turn + 1) * (turn + 1));
            free(object);
        }
    }
    void *none = calloc(0, 8), *other = calloc(8, 0);
    CHECK(none && other && none != other);
    free(none);
    free(other);
    CHECK(errno == KEPT);
    refused(calloc(SIZE_MAX / 2, 3), ENOMEM);
    refused(calloc((size_t)1 << 32, (size_t)1 << 32), ENOMEM);
    refused(calloc(SIZE_MAX, SIZE_MAX), ENOMEM);
    for (size_t i = 0; i < COUNT(HUGE_SIZES); i++) refused(calloc(1, HUGE_SIZES[i]), ENOMEM);
}

static void fill(unsigned char *object, size_t size) {
    for (size_t i = 0; i < size; i++) object[i] = (unsigned char)(i * 31 + (i >> 8));
}

static int is_filled(const unsigned char *object, size_t size) {
    for (size_t i = 0; i < size; i++) {
        if (object[i] != (unsigned char)(i * 31 + (i >> 8))) return 0;
    }
    return 1;
}

static void resized(void) {
    static const size_t STEPS[] = {
        1, 16, 17, 100, 1000, 5000, 32768, 32769, 40000, 200000, 1 << 20, 3 << 20, 20 << 20,
        (20 << 20) + 1, 9 << 20, 1 << 20, 70000, 32769, 32768, 20, 1, 50, 1 << 22, 10,
    };
    errno = KEPT;
    unsigned char *object = realloc(NULL, 10);
    CHECK(object);
    fill(object, 10);
    for (size_t i = 0, before = 10; i < COUNT(STEPS); before = STEPS[i++]) {
        object = realloc(object, STEPS[i]);
        CHECK(object && is_aligned(object, 16));
        CHECK(is_filled(object, before < STEPS[i] ? before : STEPS[i]));
        CHECK(malloc_usable_size(object) >= STEPS[i]);
        fill(object, STEPS[i]);
    }
    CHECK(errno == KEPT);
    for (size_t i = 0; i < COUNT(HUGE_SIZES); i++) refused(realloc(object, HUGE_SIZES[i]), ENOMEM);
    CHECK(is_filled(object, 10));
    CHECK(realloc(object, 0) == NULL);
    CHECK(errno == KEPT);
    unsigned char *large = malloc(1 << 20);
    fill(large, 1 << 20);
    for (size_t i = 0; i < COUNT(HUGE_SIZES); i++) refused(realloc(large, HUGE_SIZES[i]), ENOMEM);
    CHECK(is_filled(large, 1 << 20));
    CHECK(realloc(large, 0) == NULL);
    void *none = realloc(NULL, 0);
    CHECK(none);
    free(none);
    CHECK(errno == KEPT);
}

static void arrays(void) {
    errno = KEPT;
    unsigned char *object = reallocarray(NULL, 10, 30);
    CHECK(object);
    fill(object, 300);
    object = reallocarray(object, 1000, 100);
    CHECK(object && is_filled(object, 300));
    CHECK(errno == KEPT);
    refused(reallocarray(object, SIZE_MAX / 2, 3), ENOMEM);
    refused(reallocarray(object, (size_t)1 << 32, (size_t)1 << 32), ENOMEM);
    refused(reallocarray(object, SIZE_MAX, 1), ENOMEM);
    refused(reallocarray(NULL, SIZE_MAX / 2, 3), ENOMEM);
    CHECK(is_filled(object, 300));
    CHECK(reallocarray(object, 0, 8) == NULL);
    CHECK(errno == KEPT);
}

static void aligned_by(void *(*allocate)(size_t, size_t)) {
    static const size_t SIZES[] = { 0, 1, 15, 16, 17, 100, 4096, 30000, 32769, 100000, 1 << 20 };
    errno = KEPT;
    for (size_t align = 1; align <= (size_t)1 << 24; align *= 2) {
        for (size_t i = 0; i < COUNT(SIZES); i++) {
            void *object = allocate(align, SIZES[i]), *other = allocate(align, SIZES[i]);
            CHECK(object && other && object != other);
            CHECK(is_aligned(object, align) && is_aligned(other, align));
            use(object, SIZES[i]);
            free(other);
            object = realloc(object, SIZES[i] + 1);
            CHECK(object && (SIZES[i] == 0 || *(unsigned char *)object == 0xa5));
            free(object);
        }
    }
    CHECK(errno == KEPT);
    refused(allocate(0, 8), EINVAL);
    refused(allocate(3, 8), EINVAL);
    refused(allocate(24, 8), EINVAL);
    refused(allocate(SIZE_MAX, 8), EINVAL);
    refused(allocate((size_t)1 << 63, 8), ENOMEM);
    refused(allocate((size_t)1 << 47, 8), ENOMEM);
    for (size_t i = 0; i < COUNT(HUGE_SIZES); i++) {
        refused(allocate(8, HUGE_SIZES[i]), ENOMEM);
        refused(allocate(4096, HUGE_SIZES[i]), ENOMEM);
        refused(allocate(1 << 20, HUGE_SIZES[i]), ENOMEM);
    }
}

static void aligned_by_posix(void) {
    static volatile size_t WRONG[] = { 0, 1, 2, 3, 4, 7, 12, 24, 4095, SIZE_MAX };
    errno = KEPT;
    void *untouched = &errno, *place = untouched;
    for (size_t i = 0; i < COUNT(WRONG); i++) CHECK(posix_memalign(&place, WRONG[i], 8) == EINVAL);
    for (size_t i = 0; i < COUNT(HUGE_SIZES); i++) {
        CHECK(posix_memalign(&place, 8, HUGE_SIZES[i]) == ENOMEM);
        CHECK(posix_memalign(&place, 4096, HUGE_SIZES[i]) == ENOMEM);
    }
    CHECK(posix_memalign(&place, (size_t)1 << 63, 1) == ENOMEM);
    CHECK(place == untouched);
    for (size_t align = 8; align <= (size_t)1 << 22; align *= 2) {
        for (size_t size = 0; size < 100000; size += size / 3 + 1) {
            CHECK(posix_memalign(&place, align, size) == 0);
            CHECK(place && is_aligned(place, align));
            use(place, size);
            free(place);
        }
    }
    CHECK(errno == KEPT);
}

static void in_pages(void) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    errno = KEPT;
    for (size_t size = 0; size < 100000; size += size / 5 + 1) {
        void *object = valloc(size), *pages = pvalloc(size);
        CHECK(object && is_aligned(object, page));
        CHECK(pages && is_aligned(pages, page));
        use(object, size);
        size_t least = size ? size : 1;
        use(pages, (least + page - 1) / page * page);
        free(object);
        free(pages);
    }
    CHECK(errno == KEPT);
    for (size_t i = 0; i < COUNT(HUGE_SIZES); i++) {
        refused(valloc(HUGE_SIZES[i]), ENOMEM);
        refused(pvalloc(HUGE_SIZES[i]), ENOMEM);
    }
}

// A free keeps errno, also where a system call on its way fails: memory that is locked is not given
// back by a plain call. What was not given back is not taken for zero either.
static void kept(void) {
    CHECK(malloc_usable_size(NULL) == 0);
    size_t size = 1 << 20;
    void *objects[16];
    for (size_t i = 0; i < COUNT(objects); i++) {
        objects[i] = malloc(size);
        CHECK(objects[i]);
        memset(objects[i], 0xa5, size);
        if (i % 2 == 0) (void)!mlock(objects[i], 1 << 16);
    }
    errno = KEPT;
    for (size_t i = 0; i < COUNT(objects); i++) free(objects[i]);
    malloc_trim(0);
    CHECK(errno == KEPT);
    for (size_t i = 0; i < COUNT(objects); i++) {
        objects[i] = calloc(1, size);
        CHECK(objects[i] && is_zero(objects[i], size));
    }
    CHECK(errno == KEPT);
    for (size_t i = 0; i < COUNT(objects); i++) free(objects[i]);
    munlockall();
}

static void sized(void) {
    void (*free_sized)(void *, size_t) = dlsym(RTLD_DEFAULT, "free_sized");
    void (*free_aligned)(void *, size_t, size_t) = dlsym(RTLD_DEFAULT, "free_aligned_sized");
    void (*free_as_before)(void *) = dlsym(RTLD_DEFAULT, "cfree");
    errno = KEPT;
    for (size_t size = 0; size < 200000; size += size / 2 + 1) {
        free_sized(malloc(size), size);
        free_aligned(aligned_alloc(64, size), 64, size);
        free_as_before(malloc(size));
    }
    free_sized(NULL, 8);
    free_aligned(NULL, 8, 8);
    free_as_before(NULL);
    CHECK(errno == KEPT);
}

// What the C library allocates for its callers comes from the same heap.
static void by_the_library(void) {
    char *copy = strdup("one"), *printed = NULL, *path = realpath("/", NULL), *memory = NULL;
    size_t size = 0;
    CHECK(asprintf(&printed, "%s %d", copy, 2) == 5);
    FILE *file = open_memstream(&memory, &size);
    for (int i = 0; i < 10000; i++) fprintf(file, "%d ", i);
    fclose(file);
    CHECK(size == 48890 && malloc_usable_size(memory) > size);
    CHECK(malloc_usable_size(copy) >= 4 && malloc_usable_size(printed) >= 6);
    CHECK(malloc_usable_size(path) >= 2);
    free(copy);
    free(printed);
    free(path);
    free(memory);
}

static int is_near(size_t figure, size_t expected) {
    return figure > expected - expected / 8 && figure < expected + expected / 4;
}

// Figures follow what is allocated, and what is free goes back when that is asked for.
static void told(void) {
    enum { SMALL = 20000, LARGE = 20 };
    static void *small[SMALL], *large[LARGE];
    malloc_trim(0);
    struct mallinfo2 before = mallinfo2();
    for (int i = 0; i < SMALL; i++) memset(small[i] = malloc(1000), 1, 1000);
    for (int i = 0; i < LARGE; i++) memset(large[i] = malloc(1000000), 1, 1000000);
    struct mallinfo2 full = mallinfo2();
    CHECK(full.hblks - before.hblks == LARGE);
    CHECK(is_near(full.hblkhd - before.hblkhd, LARGE * 1000000));
    CHECK(is_near(full.uordblks - before.uordblks, SMALL * 1000));
    CHECK(full.arena >= full.uordblks && full.arena == full.uordblks + full.fordblks);
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    CHECK(malloc_info(1, stream) == EINVAL);
    CHECK(malloc_info(0, stream) == 0);
    fclose(stream);
    CHECK(strncmp(text, "<malloc version=", 16) == 0 && strstr(text, "</malloc>\n"));
    CHECK(strstr(text, "<size bytes=\"1024\" used=\"20"));
    free(text);
    for (int i = 0; i < SMALL; i++) free(small[i]);
    for (int i = 0; i < LARGE; i++) free(large[i]);
    struct mallinfo2 empty = mallinfo2();
    CHECK(empty.hblks == before.hblks);
    CHECK(empty.uordblks < before.uordblks + SMALL * 10);
    long resident = status_kib("VmRSS");
    errno = KEPT;
    CHECK(malloc_trim(0) == 1);
    CHECK(errno == KEPT);
    CHECK(resident - status_kib("VmRSS") > (SMALL + LARGE * 1000) * 9 / 10);
    malloc_stats();
}

int main(void) {
    begin();
    for (size_t i = 0; i < COUNT(NAMES); i++) {
        CHECK(is_ours(NAMES[i]));
        if (!is_ours(NAMES[i])) fprintf(stderr, "%s is in %s\n", NAMES[i], library_of(NAMES[i]));
    }
    sizes();
    zeroed();
    resized();
    arrays();
    aligned_by(aligned_alloc);
    aligned_by(memalign);
    aligned_by_posix();
    in_pages();
    kept();
    sized();
    by_the_library();
    told();
    return end();
}
