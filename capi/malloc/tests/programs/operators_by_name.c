// C++'s operators, each by its mangled name, from a program without a C++ runtime.
#include "check.h"

typedef void *New(size_t);
typedef void *NewNothrow(size_t, const void *);
typedef void *NewAligned(size_t, size_t);
typedef void *NewAlignedNothrow(size_t, size_t, const void *);
typedef void Delete(void *);
typedef void DeleteWith(void *, uintptr_t);
typedef void DeleteWithTwo(void *, uintptr_t, uintptr_t);

static void *named(const char *name) {
    CHECK(is_ours(name));
    void *found = dlsym(RTLD_DEFAULT, name);
    if (!found) {
        fprintf(stderr, "%s is not there\n", name);
        exit(1);
    }
    return found;
}

static void use(void *object, size_t size, size_t align) {
    CHECK(object);
    CHECK(((uintptr_t)object & (align - 1)) == 0);
    memset(object, 0xa5, size);
}

int main(void) {
    begin();
    const char nothrow = 0;
    New *news[] = { named("_Znwm"), named("_Znam") };
    NewNothrow *nothrows[] = { named("_ZnwmRKSt9nothrow_t"), named("_ZnamRKSt9nothrow_t") };
    NewAligned *aligneds[] = { named("_ZnwmSt11align_val_t"), named("_ZnamSt11align_val_t") };
    NewAlignedNothrow *aligned_nothrows[] = {
        named("_ZnwmSt11align_val_tRKSt9nothrow_t"),
        named("_ZnamSt11align_val_tRKSt9nothrow_t"),
    };
    Delete *deletes[] = { named("_ZdlPv"), named("_ZdaPv") };
    DeleteWith *deletes_with[] = {
        named("_ZdlPvm"), named("_ZdaPvm"), named("_ZdlPvSt11align_val_t"),
        named("_ZdaPvSt11align_val_t"), named("_ZdlPvRKSt9nothrow_t"),
        named("_ZdaPvRKSt9nothrow_t"),
    };
    DeleteWithTwo *deletes_with_two[] = {
        named("_ZdlPvmSt11align_val_t"), named("_ZdaPvmSt11align_val_t"),
        named("_ZdlPvSt11align_val_tRKSt9nothrow_t"), named("_ZdaPvSt11align_val_tRKSt9nothrow_t"),
    };
    errno = 77;
    for (size_t size = 0; size < 200000; size += size / 9 + 1) {
        for (int i = 0; i < 2; i++) {
            void *objects[6];
            objects[0] = news[i](size);
            objects[1] = news[i](size);
            objects[2] = nothrows[i](size, &nothrow);
            objects[3] = aligneds[i](size, 128);
            objects[4] = aligned_nothrows[i](size, 128, &nothrow);
            objects[5] = aligneds[i](size, 8);
            for (int j = 0; j < 6; j++) use(objects[j], size, j == 3 || j == 4 ? 128 : 8);
            deletes[i](objects[0]);
            for (int j = 1; j < 4; j++) deletes_with[(i * 3) + j - 1](objects[j], 128);
            for (int j = 4; j < 6; j++) deletes_with_two[(i * 2) + j - 4](objects[j], 128, 128);
        }
    }
    for (int i = 0; i < 2; i++) {
        CHECK(nothrows[i](SIZE_MAX, &nothrow) == NULL);
        CHECK(nothrows[i]((size_t)1 << 47, &nothrow) == NULL);
        CHECK(aligned_nothrows[i](SIZE_MAX - 64, 64, &nothrow) == NULL);
        CHECK(aligned_nothrows[i](8, (size_t)1 << 63, &nothrow) == NULL);
        deletes[i](NULL);
        deletes_with[i](NULL, 8);
        deletes_with_two[i](NULL, 8, 8);
    }
    return end();
}
