// What all of these programs share: claims, an end in time, and a generator of numbers.
#ifndef CHECK_H
#define CHECK_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// A program that hangs is ended by the kernel after this many seconds.
#define SECONDS_MOST 240

static int failures;

#define CHECK(claim) check(!!(claim), #claim, __FILE__, __LINE__)

__attribute__((unused)) static void check(int is_so, const char *claim, const char *file, int line) {
    if (is_so) return;
    int error = errno;
    fprintf(stderr, "%s:%d: not so: %s (errno %d)\n", file, line, claim, error);
    failures++;
}

// The library that a name leads to.
__attribute__((unused)) static const char *library_of(const char *name) {
    Dl_info info;
    void *found = dlsym(RTLD_DEFAULT, name);
    return found && dladdr(found, &info) ? info.dli_fname : "nowhere";
}

__attribute__((unused)) static int is_ours(const char *name) {
    return strstr(library_of(name), "libpolder_malloc.so") != NULL;
}

__attribute__((unused)) static void begin(void) {
    alarm(SECONDS_MOST);
    if (!is_ours("malloc")) {
        fprintf(stderr, "malloc is in %s\n", library_of("malloc"));
        exit(2);
    }
}

__attribute__((unused)) static int end(void) {
    if (failures == 0) return 0;
    fprintf(stderr, "%d claims are not so\n", failures);
    return 1;
}

// Marsaglia's xorshift: the same numbers in each run.
__attribute__((unused)) static uint64_t next(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

// A number of the process in /proc/self/status, in KiB.
__attribute__((unused)) static long status_kib(const char *name) {
    FILE *file = fopen("/proc/self/status", "r");
    if (!file) return -1;
    char line[256];
    long value = -1;
    while (fgets(line, sizeof line, file)) {
        if (strncmp(line, name, strlen(name)) == 0) sscanf(line + strlen(name), ": %ld", &value);
    }
    fclose(file);
    return value;
}

#endif
