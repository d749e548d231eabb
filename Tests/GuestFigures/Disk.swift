// SPDX-License-Identifier: Apache-2.0

import Glibc

/// O_DIRECT of fcntl(2), which Swift is not shown.
private let directFlag: CInt = 0x4000
/// Of the disk, what is read and written.
private let extent = 64 << 20

/// Threads that read or write at the same time, and what each of them moves before it ends.
private let (threadCount, transfersPerThread) = (16, 64)

/// Reads and writes past the page cache: 1 MiB in order, and 4 KiB here and there, one after the other and 16 at a time.
func timeDisk(_ path: String) {
  let disk = open(path, O_RDWR | directFlag)
  require(disk >= 0, "open \(path)")
  let (large, small) = (1 << 20, 4096)
  guard let buffer = aligned_alloc(4096, large) else { return require(false, "aligned_alloc") }
  memset(buffer, 0x5a, large)
  let writes: (Int, Int) -> Bool = { pwrite(disk, buffer, $0, $1) == $0 }
  let reads: (Int, Int) -> Bool = { pread(disk, buffer, $0, $1) == $0 }
  for (name, transfer) in [("write", writes), ("read", reads)] {
    var place = 0
    time("sequential-\(name)") {
      require(transfer(large, place * large), name)
      place = (place + 1) % (extent / large)
    }
    // All places, in no order: a step that has no factor in common with their number.
    time("random-\(name)") {
      place = (place + 7919) % (extent / small)
      require(transfer(small, place * small), name)
    }
    time("parallel-\(name)", count: threadCount * transfersPerThread) {
      runThreads { number in
        // Each in a part of its own.
        let places = extent / small / threadCount
        for step in 1...transfersPerThread {
          require(transfer(small, (number * places + step * 101 % places) * small), name)
        }
      }
    }
  }
  close(disk)
}

/// Runs a function on several threads, which it tells their numbers, and returns when all have ended.
private func runThreads(_ body: @escaping (Int) -> Void) {
  final class Task {
    let number: Int
    let body: (Int) -> Void

    init(_ number: Int, _ body: @escaping (Int) -> Void) {
      self.number = number
      self.body = body
    }
  }
  let threads = (0..<threadCount).map { number in
    var thread = pthread_t()
    let task = Unmanaged.passRetained(Task(number, body))
    let result = pthread_create(
      &thread, nil,
      { argument in
        if let argument {
          let task = Unmanaged<Task>.fromOpaque(argument).takeRetainedValue()
          task.body(task.number)
        }
        return nil
      }, task.toOpaque())
    require(result == 0, "pthread_create")
    return thread
  }
  for thread in threads { pthread_join(thread, nil) }
}
