// SPDX-License-Identifier: Apache-2.0

import Glibc
import Synchronization

let pageSize = 4096

/// Pages of a process's own, each of which begins with a word.
struct Pages: @unchecked Sendable {
  let base: UnsafeMutableRawPointer
  let count: Int

  /// Anonymous pages, zero.
  /// - Parameter address: where, instead of what is there.
  init(_ count: Int, at address: UnsafeMutableRawPointer? = nil, sharing: CInt = MAP_PRIVATE) {
    self.count = count
    let flags = sharing | MAP_ANONYMOUS | (address == nil ? 0 : MAP_FIXED)
    let found = mmap(address, count * pageSize, PROT_READ | PROT_WRITE, flags, -1, 0)
    guard let found, found != MAP_FAILED else { fail("mmap: error \(errno)") }
    base = found
  }

  /// The place of pages that come and go: others stay around it, so that no mapping made elsewhere falls into the hole,
  /// but for one that is as small.
  static func place(_ count: Int) -> UnsafeMutableRawPointer { Pages(count * 3).base + count * pageSize }

  /// The first word of a page: loads and stores that the compiler keeps.
  func word(_ page: Int) -> UnsafeMutablePointer<Atomic<Int>> {
    (base + page * pageSize).assumingMemoryBound(to: Atomic<Int>.self)
  }

  func read(_ page: Int) -> Int { word(page).pointee.load(ordering: .acquiring) }
  func write(_ page: Int, _ value: Int) { word(page).pointee.store(value, ordering: .releasing) }

  func protect(_ protection: CInt) {
    require(mprotect(base, count * pageSize, protection) == 0, "mprotect: error \(errno)")
  }

  func unmap() { require(munmap(base, count * pageSize) == 0, "munmap: error \(errno)") }

  /// Whether the kernel can read a page: asked of `write`, for it answers without a signal.
  func isReadable(_ page: Int, _ pipe: Pipe) -> Bool {
    guard Glibc.write(pipe.input, base + page * pageSize, 1) == 1 else {
      require(errno == EFAULT, "write: error \(errno)")
      return false
    }
    var byte: UInt8 = 0
    require(Glibc.read(pipe.output, &byte, 1) == 1, "read: error \(errno)")
    return true
  }
}

struct Pipe {
  let output: CInt
  let input: CInt

  init() {
    var ends: [CInt] = [0, 0]
    require(pipe(&ends) == 0, "pipe: error \(errno)")
    (output, input) = (ends[0], ends[1])
  }
}

/// Faults that the handler has seen.
private let faults = Atomic<Int>(0)
/// What a handler does with a page that was written to: open it, or wait until it is open.
private let opensPages = Atomic<Bool>(false)
private let isOpen = Atomic<Bool>(true)

private func handleFaults(opening: Bool) {
  opensPages.store(opening, ordering: .relaxed)
  var action = sigaction()
  action.sa_flags = SA_SIGINFO
  action.__sigaction_handler.sa_sigaction = { _, information, _ in
    faults.add(1, ordering: .sequentiallyConsistent)
    if opensPages.load(ordering: .relaxed) {
      let address = UInt(bitPattern: information?.pointee._sifields._sigfault.si_addr)
      let page = UnsafeMutableRawPointer(bitPattern: address & ~UInt(pageSize - 1))
      if mprotect(page, pageSize, PROT_READ | PROT_WRITE) != 0 { _exit(1) }
    } else {
      while !isOpen.load(ordering: .acquiring) { sched_yield() }
    }
  }
  require(sigaction(SIGSEGV, &action, nil) == 0, "sigaction: error \(errno)")
}

/// A write barrier as garbage collectors have it: pages are closed for writing, and the first write to each opens it.
@Sendable func protectPages(_ deadline: Deadline, _ isPlanted: Bool) -> Int {
  let (pages, pipe) = (Pages(64), Pipe())
  handleFaults(opening: true)
  var rounds = 0
  repeat {
    rounds += 1
    let before = faults.load(ordering: .relaxed)
    if !isPlanted { pages.protect(PROT_READ) }
    for page in 0..<pages.count {
      pages.write(page, rounds)
      pages.write(page, pages.read(page) + page)
    }
    let seen = faults.load(ordering: .relaxed) - before
    require(seen == pages.count, "mprotect: \(seen) faults of \(pages.count) closed pages")
    let isWritten = (0..<pages.count).allSatisfy { pages.read($0) == rounds + $0 }
    require(isWritten, "mprotect: a write behind a fault is lost")
    pages.protect(PROT_NONE)
    require(!pages.isReadable(rounds % pages.count, pipe), "mprotect: a page of PROT_NONE is read")
    pages.protect(PROT_READ | PROT_WRITE)
    require(pages.isReadable(rounds % pages.count, pipe), "mprotect: a page is not read")
  } while !deadline.isOver
  return rounds
}

/// What is unmapped is gone, and what comes in its place is zero; another thread of the process does the same elsewhere.
@Sendable func unmapPages(_ deadline: Deadline, _ isPlanted: Bool) -> Int {
  let (pipe, place, otherPlace) = (Pipe(), Pages.place(16), Pages.place(32))
  let other = Thread(processor: 1) {
    while !deadline.isOver {
      let pages = Pages(32, at: otherPlace)
      for page in 0..<pages.count { pages.write(page, page) }
      require((0..<pages.count).allSatisfy { pages.read($0) == $0 }, "munmap: a page has another's word")
      pages.unmap()
    }
  }
  var rounds = 0
  repeat {
    rounds += 1
    var pages = Pages(16, at: place)
    for page in 0..<pages.count { pages.write(page, rounds) }
    if !isPlanted { pages.unmap() }
    require(!pages.isReadable(rounds % 16, pipe), "munmap: an unmapped page is read")
    pages = Pages(16, at: place)
    require((0..<16).allSatisfy { pages.read($0) == 0 }, "munmap: a new page is not zero")
  } while !deadline.isOver
  other.join()
  return rounds
}

/// Two processes write to pages that they share until they write.
@Sendable func copyOnWrite(_ deadline: Deadline, _ isPlanted: Bool) -> Int {
  let pages = Pages(64, sharing: isPlanted ? MAP_SHARED : MAP_PRIVATE)
  var rounds = 0
  repeat {
    rounds += 1
    for page in 0..<pages.count { pages.write(page, rounds) }
    let child = forkProcess()
    require(child >= 0, "fork: error \(errno)")
    for page in 0..<pages.count where child == 0 || page % 2 == 1 {
      require(pages.read(page) == rounds, "copy on write: another process's write is seen")
      pages.write(page, child == 0 ? -page : page)
    }
    if child == 0 {
      _exit((0..<pages.count).allSatisfy { pages.read($0) == -$0 } ? 0 : 1)
    }
    var status: CInt = 0
    let isEnded = waitpid(child, &status, 0) == child
    require(isEnded && status == 0, "copy on write: the child ends with \(status)")
    require(
      (0..<pages.count).allSatisfy { pages.read($0) == ($0 % 2 == 1 ? $0 : rounds) },
      "copy on write: the child's write is seen")
  } while !deadline.isOver
  return rounds
}

/// How often the page that is read has been replaced, and whether that is over.
private let generation = Atomic<Int>(0)
private let isOver = Atomic<Bool>(false)

/// What one processor takes away, another one has lost: a translation that lives on in its TLB is found, by a write to
/// a page that is closed, and by a read of a page that has been replaced.
@Sendable func shootDown(_ deadline: Deadline, _ isPlanted: Bool) -> Int {
  let (closed, replaced) = (Pages(1), Pages(1))
  handleFaults(opening: false)
  let other = Thread(processor: 1) {
    var count = 0
    while !isOver.load(ordering: .relaxed) {
      count += 1
      closed.write(0, count)
      let expected = generation.load(ordering: .acquiring)
      let found = replaced.read(0)
      let isNew = found == 0 || found >= expected
      require(isNew, "shootdown: a replaced page is read: \(found), not \(expected)")
    }
  }
  pin(processor: 0)
  var rounds = 0
  repeat {
    rounds += 1
    isOpen.store(false, ordering: .sequentiallyConsistent)
    let before = faults.load(ordering: .sequentiallyConsistent)
    if !isPlanted { closed.protect(PROT_READ) }
    let first = closed.read(0)
    for _ in 0..<2000 { require(closed.read(0) == first, "shootdown: a closed page is written to") }
    while !isPlanted && faults.load(ordering: .sequentiallyConsistent) == before { sched_yield() }
    closed.protect(PROT_READ | PROT_WRITE)
    isOpen.store(true, ordering: .sequentiallyConsistent)
    // Else the other thread could miss that it was open.
    while closed.read(0) == first { sched_yield() }
    for _ in 0..<8 {
      let next = generation.load(ordering: .relaxed) + 1
      Pages(1, at: replaced.base).write(0, next)
      generation.store(next, ordering: .releasing)
    }
  } while !deadline.isOver
  isOver.store(true, ordering: .relaxed)
  other.join()
  return rounds
}
