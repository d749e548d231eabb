// SPDX-License-Identifier: Apache-2.0
//
// Namespaces, capabilities and Landlock: system calls that glibc has no functions for, or hides without _GNU_SOURCE.
// Sources: unshare(2), capset(2), landlock(7). Each answers −1 for an error, whose number is in errno.
#ifndef LOCKSTEP_ISOLATION_H
#define LOCKSTEP_ISOLATION_H

#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

enum : int {
  isolation_new_mount = 0x00020000,   // CLONE_NEWNS
  isolation_new_cgroup = 0x02000000,  // CLONE_NEWCGROUP
  isolation_new_uts = 0x04000000,     // CLONE_NEWUTS
  isolation_new_ipc = 0x08000000,     // CLONE_NEWIPC
  isolation_new_user = 0x10000000,    // CLONE_NEWUSER
  isolation_new_network = 0x40000000, // CLONE_NEWNET
};

static inline int isolation_unshare(int flags) { return (int)syscall(SYS_unshare, flags); }

// PR_SET_NO_NEW_PRIVS.
static inline int isolation_no_new_privileges(void) { return (int)syscall(SYS_prctl, 38, 1, 0, 0, 0); }

// Takes every capability from the calling thread.
static inline int isolation_drop_capabilities(void) {
  struct {
    uint32_t version;
    int process;
  } header = {0x20080522, 0};
  uint32_t none[6] = {0};
  return (int)syscall(SYS_capset, &header, none);
}

// struct landlock_ruleset_attr: what is forbidden but where a rule allows it. Older systems know the first ones alone.
struct isolation_landlock {
  uint64_t files;
  uint64_t network;
  uint64_t scopes;
};

// The version of Landlock that the system has.
static inline int isolation_landlock_version(void) { return (int)syscall(444, NULL, 0, 1); }

// Begins a set of rules: a descriptor.
static inline int isolation_landlock_begin(const struct isolation_landlock *_Nonnull handled, size_t size) {
  return (int)syscall(444, handled, size, 0);
}

// Allows something of a file, or of all in a folder.
static inline int isolation_landlock_allow(int rules, uint64_t files, int place) {
  struct {
    uint64_t files;
    int32_t place;
  } __attribute__((packed)) rule = {files, place};
  return (int)syscall(445, rules, 1, &rule, 0);
}

// Puts the calling thread, and all that it starts, under the rules.
static inline int isolation_landlock_enter(int rules) { return (int)syscall(446, rules, 0); }

#endif
