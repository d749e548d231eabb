// SPDX-License-Identifier: Apache-2.0

import Glibc

/// What a disk can be asked to do.
public enum DiskOperation: @unchecked Sendable {
  /// Reads into buffers, one after the other, from a sector of 512 bytes on.
  case read(sector: UInt64, into: [UnsafeMutableRawBufferPointer])
  case write(sector: UInt64, from: [UnsafeMutableRawBufferPointer])
  /// Makes durable what was written by operations that were done before this one was submitted.
  case flush
  case discard(sector: UInt64, count: UInt64)
}

/// A disk that does several things at a time, in no order. Belongs to one thread at a time.
public protocol BlockQueue: AnyObject, Sendable {
  var storage: any BlockStorage { get }
  /// Readable when something may be done: to be waited for together with other descriptors.
  var descriptor: Int32 { get }
  /// The io_uring that this process enters for the queue, restricted to the disk; nil if there is none.
  var ring: Int32? { get }

  /// Takes an operation over, which `start` begins at the latest.
  /// - Parameters:
  ///   - operation: one that the storage's preconditions allow. Its buffers stay where they are until it is done.
  ///   - tag: below `BlockQueues.depth`, and no other operation's until this one is done.
  func submit(_ operation: DiskOperation, tag: Int)

  /// Begins what was submitted.
  func start()

  /// The next operation that is done, and whether it could be; nil if there is none now.
  func takeDone() -> (tag: Int, isDone: Bool)?

  /// Sleeps until something may be done.
  /// - Precondition: something is under way.
  func wait()
}

extension BlockQueue {
  public func wait() {
    var wanted = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    while poll(&wanted, 1, -1) < 0 && errno == EINTR {}
  }
}

/// Ways to have a disk do several things at a time.
public enum BlockQueues {
  /// Operations at a time: as many as a ring has requests.
  public static let depth = BlockRing.slotCount
  /// Threads of a disk without io_uring.
  static let threadCount = 4

  /// - Returns: a raw image's queue over io_uring, if the kernel offers it; a pool of threads otherwise.
  public static func open(_ image: DiskImage) -> any BlockQueue {
    IOUringQueue(image) ?? ThreadedQueue(image, threadCount: threadCount)
  }

  /// - Returns: a thread: the connection to such a disk's server serves one caller at a time.
  public static func open(_ disk: ServedDisk) -> any BlockQueue { ThreadedQueue(disk, threadCount: 1) }
}
