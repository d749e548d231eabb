// SPDX-License-Identifier: Apache-2.0

import Glibc

/// Starts a process that runs a function and ends.
private func start(_ body: () -> Void) -> pid_t {
  let child = forkProcess()
  require(child >= 0, "fork")
  if child == 0 {
    body()
    _exit(1)
  }
  return child
}

private func wait(for child: pid_t) -> CInt {
  var status: CInt = 0
  require(waitpid(child, &status, 0) == child, "waitpid")
  return status
}

/// The system call with the least to do; the C library remembers no answer to it.
func timeSystemCall() {
  time("system-call", count: 500) { for _ in 0..<500 { _ = getppid() } }
}

/// The first write to a page that has no memory yet, of 4 KiB; 4 MiB at a time. Mapping and unmapping are part of it.
func timePageFault() {
  let (count, pageSize) = (1024, 4096)
  let size = count * pageSize
  time("page-fault", count: count) {
    let memory = mmap(nil, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    guard let memory, memory != MAP_FAILED else { return require(false, "mmap") }
    // One fault a page, whatever the system's policy is.
    require(madvise(memory, size, MADV_NOHUGEPAGE) == 0 || errno == EINVAL, "madvise")
    for page in 0..<count { memory.storeBytes(of: 1, toByteOffset: page * pageSize, as: UInt8.self) }
    munmap(memory, size)
  }
}

/// A byte to another process and back: two switches between processes.
func timePipe() {
  var (there, back): ([CInt], [CInt]) = ([0, 0], [0, 0])
  require(pipe(&there) == 0 && pipe(&back) == 0, "pipe")
  var byte: UInt8 = 0
  let child = start {
    close(there[1])
    var byte: UInt8 = 0
    while read(there[0], &byte, 1) == 1 { _ = write(back[1], &byte, 1) }
    _exit(0)
  }
  close(there[0])
  time("pipe") { require(write(there[1], &byte, 1) == 1 && read(back[0], &byte, 1) == 1, "pipe") }
  close(there[1])
  require(wait(for: child) == 0, "the other end of the pipe")
}

/// A process that is made, runs `busybox true` and is waited for.
func timeExec() {
  let path = access("/bin/busybox", X_OK) == 0 ? "/bin/busybox" : "/usr/bin/busybox"
  var arguments = [strdup(path), strdup("true"), nil]
  time("fork-exec") {
    let child = start { execv(path, &arguments) }
    require(wait(for: child) == 0, "busybox")
  }
}
