// Kernels by name, and how a block of them runs.
#pragma once
#include <cstddef>
#include <map>
#include <string>
#include <utility>

// Calls a kernel whose arguments lie behind an array of pointers, as the driver gets them.
struct Kernel {
    void (*call)(const void *function, void **arguments);
    const void *function;
};

std::map<std::string, Kernel> &standin_kernels();

template <class... A, std::size_t... I>
void standin_call(void (*f)(A...), void **arguments, std::index_sequence<I...>) {
    f(*static_cast<A *>(arguments[I])...);
}

template <class F> struct Caller;
template <class... A> struct Caller<void (*)(A...)> {
    static void call(const void *function, void **arguments) {
        standin_call(reinterpret_cast<void (*)(A...)>(const_cast<void *>(function)), arguments, std::index_sequence_for<A...>{});
    }
};

struct Registration {
    template <class F> Registration(const char *name, F f) {
        standin_kernels()[name] = {&Caller<F>::call, reinterpret_cast<const void *>(f)};
    }
};

// Runs a grid on this thread. Threads of a block take their turns from the first to the last, or from the last to the first, and so do
// blocks. Says what went wrong, or nothing.
const char *standin_run(const Kernel &kernel, void **arguments, const unsigned grid[3], unsigned threads, unsigned shared_bytes, bool reversed);
