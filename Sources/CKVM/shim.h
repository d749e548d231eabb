// SPDX-License-Identifier: Apache-2.0
//
// What Swift cannot import of <linux/kvm.h>: request numbers (macros with casts), flexible arrays and unions, and
// a few system calls that glibc hides without _GNU_SOURCE; malloc_trim, which Swift's Glibc leaves out.
#ifndef LOCKSTEP_CKVM_H
#define LOCKSTEP_CKVM_H

#include <linux/kvm.h>
#include <malloc.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

enum : unsigned long {
  kvm_request_get_api_version = KVM_GET_API_VERSION,
  kvm_request_create_vm = KVM_CREATE_VM,
  kvm_request_check_extension = KVM_CHECK_EXTENSION,
  kvm_request_get_vcpu_mmap_size = KVM_GET_VCPU_MMAP_SIZE,
  kvm_request_get_supported_cpuid = KVM_GET_SUPPORTED_CPUID,
  kvm_request_create_vcpu = KVM_CREATE_VCPU,
  kvm_request_set_user_memory_region = KVM_SET_USER_MEMORY_REGION,
  kvm_request_set_tss_addr = KVM_SET_TSS_ADDR,
  kvm_request_run = KVM_RUN,
  kvm_request_get_regs = KVM_GET_REGS,
  kvm_request_set_regs = KVM_SET_REGS,
  kvm_request_get_sregs = KVM_GET_SREGS,
  kvm_request_set_sregs = KVM_SET_SREGS,
  kvm_request_set_msrs = KVM_SET_MSRS,
  kvm_request_set_cpuid2 = KVM_SET_CPUID2,
  kvm_request_set_xcrs = KVM_SET_XCRS,
  kvm_request_get_msrs = KVM_GET_MSRS,
  kvm_request_get_tsc_khz = KVM_GET_TSC_KHZ,
  kvm_request_get_vcpu_events = KVM_GET_VCPU_EVENTS,
  kvm_request_enable_capability = KVM_ENABLE_CAP,
  kvm_request_signal_msi = KVM_SIGNAL_MSI,
  kvm_request_translate = KVM_TRANSLATE,
  kvm_request_xen_hvm_config = KVM_XEN_HVM_CONFIG,
};

static inline int kvm_call(int fd, unsigned long request, unsigned long argument) {
  return ioctl(fd, request, argument);
}

static inline int kvm_call_pointer(int fd, unsigned long request, void *_Nonnull argument) {
  return ioctl(fd, request, argument);
}

// The synchronised registers and the I/O exit of the mapped kvm_run: both lie in unions.
static inline struct kvm_sync_regs *_Nonnull kvm_run_registers(struct kvm_run *_Nonnull run) {
  return &run->s.regs;
}

static inline struct kvm_regs *_Nonnull kvm_sync_general(struct kvm_sync_regs *_Nonnull sync) {
  return &sync->regs;
}

static inline struct kvm_sregs *_Nonnull kvm_sync_special(struct kvm_sync_regs *_Nonnull sync) {
  return &sync->sregs;
}

static inline struct kvm_vcpu_events *_Nonnull kvm_sync_events(struct kvm_sync_regs *_Nonnull sync) {
  return &sync->events;
}

// Other threads store to it while the vCPU runs.
static inline void kvm_run_set_immediate_exit(struct kvm_run *_Nonnull run, uint8_t value) {
  __atomic_store_n(&run->immediate_exit, value, __ATOMIC_SEQ_CST);
}

static inline uint16_t kvm_run_io_port(const struct kvm_run *_Nonnull run) { return run->io.port; }

// What an IN waits for: its bytes, and how many; 0 for an OUT.
static inline void *_Nonnull kvm_run_input(struct kvm_run *_Nonnull run, size_t *_Nonnull count) {
  *count = run->io.direction == KVM_EXIT_IO_IN ? (size_t)run->io.size * run->io.count : 0;
  return (char *)run + run->io.data_offset;
}

// The first byte that an OUT writes.
static inline uint8_t kvm_run_output(const struct kvm_run *_Nonnull run) {
  return *((const uint8_t *)run + run->io.data_offset);
}

// What a load waits for that found no memory, likewise; 0 for a store.
static inline void *_Nonnull kvm_run_load(struct kvm_run *_Nonnull run, size_t *_Nonnull count) {
  *count = run->mmio.is_write ? 0 : run->mmio.len;
  return run->mmio.data;
}

// A hypercall that a guest makes by Xen's convention, and its result.
static inline uint64_t kvm_run_xen_number(const struct kvm_run *_Nonnull run) { return run->xen.u.hcall.input; }

static inline uint64_t kvm_run_xen_argument(const struct kvm_run *_Nonnull run, int index) {
  return run->xen.u.hcall.params[index];
}

static inline int kvm_run_xen_is_kernels(const struct kvm_run *_Nonnull run) { return run->xen.u.hcall.cpl == 0; }

static inline int kvm_run_xen_is_64_bit(const struct kvm_run *_Nonnull run) { return run->xen.u.hcall.longmode != 0; }

static inline void kvm_run_xen_set_result(struct kvm_run *_Nonnull run, uint64_t result) {
  run->xen.u.hcall.result = result;
}

static inline uint32_t kvm_run_internal_suberror(const struct kvm_run *_Nonnull run) {
  return run->internal.suberror;
}

static inline uint64_t kvm_run_entry_failure_reason(const struct kvm_run *_Nonnull run) {
  return run->fail_entry.hardware_entry_failure_reason;
}

static inline size_t kvm_cpuid_entries_offset(void) { return offsetof(struct kvm_cpuid2, entries); }

static inline size_t kvm_msrs_entries_offset(void) { return offsetof(struct kvm_msrs, entries); }

static inline int lockstep_memfd_create(const char *_Nonnull name, unsigned flags) {
  return (int)syscall(SYS_memfd_create, name, flags);
}

// The name of the calling thread (PR_SET_NAME).
static inline int lockstep_thread_set_name(const char *_Nonnull name) {
  return (int)syscall(SYS_prctl, 15, name, 0, 0, 0);
}

// A timer that sends a signal to the thread that makes it; its number, or -1.
static inline int lockstep_thread_timer_create(int number) {
  struct sigevent event = {.sigev_signo = number, .sigev_notify = SIGEV_THREAD_ID};
  event._sigev_un._tid = (int)syscall(SYS_gettid);
  int timer = -1;
  return syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &timer) == 0 ? timer : -1;
}

// Lets it fire after each period, below a second; 0 stops it.
static inline void lockstep_thread_timer_set(int timer, long nanoseconds) {
  struct itimerspec when = {.it_interval.tv_nsec = nanoseconds, .it_value.tv_nsec = nanoseconds};
  syscall(SYS_timer_settime, timer, 0, &when, NULL);
}

static inline void lockstep_thread_timer_delete(int timer) { syscall(SYS_timer_delete, timer); }

static inline uint64_t lockstep_rdtsc(void) { return __rdtsc(); }

static inline void lockstep_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t *_Nonnull out) {
  __asm__ volatile("cpuid"
                   : "=a"(out[0]), "=b"(out[1]), "=c"(out[2]), "=d"(out[3])
                   : "a"(leaf), "c"(subleaf));
}

#endif
