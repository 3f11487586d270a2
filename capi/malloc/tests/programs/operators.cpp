// C++ over the library: all forms of new and delete, handlers, what is thrown, static objects.
#include "check.h"

#include <map>
#include <memory>
#include <new>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

static volatile size_t HUGE_SIZE = (size_t)1 << 47;
static int calls;

struct Gives_up {};

struct alignas(256) Wide {
    char bytes[700];
};

// Allocates before `main`, and frees after it.
struct Lasting {
    std::map<int, std::string> names;
    Lasting() {
        for (int i = 0; i < 1000; i++) names[i] = std::string(i % 97, 'x');
    }
    ~Lasting() {
        names[-1] = std::string(1000, 'y');
        names.clear();
    }
};
static Lasting lasting;
static std::vector<std::unique_ptr<Wide>> wides;

template <typename Work> static bool throws_bad_alloc(Work work) {
    try {
        work();
    } catch (const std::bad_alloc &) {
        return true;
    }
    return false;
}

static void plain() {
    for (size_t size = 0; size < 100000; size += size / 9 + 1) {
        char *one = static_cast<char *>(operator new(size)), *many = new char[size];
        char *quiet = new (std::nothrow) char[size];
        void *wide = operator new(size, std::align_val_t(512));
        CHECK(one && many && quiet && wide);
        CHECK(((uintptr_t)wide & 511) == 0);
        operator delete(one, size);
        delete[] many;
        operator delete[](quiet, std::nothrow);
        operator delete(wide, size, std::align_val_t(512));
    }
    for (int i = 0; i < 100; i++) {
        wides.push_back(std::make_unique<Wide>());
        CHECK(((uintptr_t)wides.back().get() & 255) == 0);
    }
    delete static_cast<Wide *>(nullptr);
}

static void refused() {
    CHECK(throws_bad_alloc([] { operator new(HUGE_SIZE); }));
    CHECK(throws_bad_alloc([] { operator new[](HUGE_SIZE); }));
    CHECK(throws_bad_alloc([] { operator new(HUGE_SIZE, std::align_val_t(64)); }));
    CHECK(throws_bad_alloc([] { operator new[](HUGE_SIZE, std::align_val_t(64)); }));
    CHECK(throws_bad_alloc([] { std::vector<char> bytes(HUGE_SIZE); }));
    CHECK(operator new(HUGE_SIZE, std::nothrow) == nullptr);
    CHECK(operator new[](HUGE_SIZE, std::nothrow) == nullptr);
    CHECK(operator new(HUGE_SIZE, std::align_val_t(64), std::nothrow) == nullptr);
    CHECK(operator new[](HUGE_SIZE, std::align_val_t(64), std::nothrow) == nullptr);
}

static void count_down() {
    if (++calls == 5) std::set_new_handler(nullptr);
}

static void give_up() {
    calls++;
    throw Gives_up();
}

static void give_up_as_asked() {
    calls++;
    throw std::bad_alloc();
}

// A handler is called until it gives up: by taking itself away, or by an exception.
static void handled() {
    std::set_new_handler(count_down);
    calls = 0;
    CHECK(throws_bad_alloc([] { operator new(HUGE_SIZE); }));
    CHECK(calls == 5);

    std::set_new_handler(count_down);
    calls = 0;
    CHECK(operator new(HUGE_SIZE, std::nothrow) == nullptr);
    CHECK(calls == 5);

    std::set_new_handler(give_up);
    calls = 0;
    try {
        operator new[](HUGE_SIZE);
        CHECK(!"returns");
    } catch (const Gives_up &) {
        CHECK(calls == 1);
    }

    std::set_new_handler(give_up_as_asked);
    calls = 0;
    CHECK(operator new(HUGE_SIZE, std::align_val_t(64), std::nothrow) == nullptr);
    CHECK(operator new[](HUGE_SIZE, std::nothrow) == nullptr);
    CHECK(calls == 2);
    CHECK(throws_bad_alloc([] { operator new(HUGE_SIZE, std::align_val_t(64)); }));
    std::set_new_handler(nullptr);
}

// Destructors of a thread's objects run when it ends, and free.
static thread_local std::unordered_map<int, std::string> own;

static void threads() {
    std::vector<std::thread> workers;
    std::vector<std::string> left(8);
    for (int worker = 0; worker < 8; worker++) {
        workers.emplace_back([worker, &left] {
            for (int i = 0; i < 20000; i++) own[i % 1000] = std::string(i % 300, 'a');
            left[worker] = std::string(100000, 'b');
            CHECK(throws_bad_alloc([] { operator new(HUGE_SIZE); }));
        });
    }
    for (auto &worker : workers) worker.join();
}

int main() {
    begin();
    CHECK(is_ours("_Znwm") && is_ours("_ZdlPv"));
    plain();
    refused();
    handled();
    threads();
    return end();
}
