// SPDX-License-Identifier: Apache-2.0

import CURing
import Glibc

/// A raw disk image whose operations the kernel carries out, by io_uring.
///
/// The ring is restricted, for good, before it takes its first operation: it reads, writes and flushes the image, and
/// nothing else. Whoever breaks into this process can do no more by it than by the image's descriptor, although what is
/// asked of a ring passes no seccomp filter.
final class IOUringQueue: BlockQueue, @unchecked Sendable {
  let image: DiskImage
  /// liburing's: of the process's memory, and shared with the kernel.
  let uring = UnsafeMutablePointer<io_uring>.allocate(capacity: 1)
  /// For each tag as many as a request has segments.
  private let vectors: UnsafeMutableBufferPointer<iovec>
  /// By tag, reads and writes under way.
  private var transfers = [VectorTransfer?](repeating: nil, count: BlockQueues.depth)
  private let isOpen: Bool
  /// What was done at once.
  private var done: [(tag: Int, isDone: Bool)] = []

  private static let vectorsPerTag = BlockRing.maximumIndirectSegments
  /// The place of the image among the ring's files.
  private static let file: Int32 = 0
  /// `IOSQE_FIXED_FILE`: a file of the ring's, not one of the process's.
  private static let fixedFile: UInt8 = 1 << UInt8(IOSQE_FIXED_FILE_BIT)

  /// Nil if the kernel has no io_uring, forbids it, or cannot restrict it.
  init?(_ image: DiskImage) {
    self.image = image
    vectors = .allocate(capacity: BlockQueues.depth * Self.vectorsPerTag)
    vectors.initialize(repeating: iovec())
    uring.initialize(to: io_uring())
    var parameters = io_uring_params()
    parameters.flags = IORING_SETUP_R_DISABLED
    isOpen = io_uring_queue_init_params(UInt32(BlockQueues.depth), uring, &parameters) == 0
    guard isOpen, restrict() else { return nil }
  }

  deinit {
    if isOpen { io_uring_queue_exit(uring) }
    uring.deallocate()
    vectors.deallocate()
  }

  /// Leaves the ring the image, reads, writes and flushes, and no change of that.
  private func restrict() -> Bool {
    var file = image.descriptor
    var restrictions = [IORING_OP_READV, IORING_OP_WRITEV, IORING_OP_FSYNC].map { operation in
      var restriction = io_uring_restriction()
      restriction.opcode = UInt16(IORING_RESTRICTION_SQE_OP)
      restriction.sqe_op = UInt8(operation.rawValue)
      return restriction
    }
    var flags = io_uring_restriction()
    flags.opcode = UInt16(IORING_RESTRICTION_SQE_FLAGS_REQUIRED)
    flags.sqe_flags = Self.fixedFile
    restrictions.append(flags)
    // liburing's library of Debian 12 lacks the functions for these two, which its header has.
    func register(_ request: Int, _ argument: UnsafeRawPointer?, _ count: Int) -> Bool {
      io_uring_register(UInt32(uring.pointee.ring_fd), UInt32(request), argument, UInt32(count)) == 0
    }
    return io_uring_register_files(uring, &file, 1) == 0
      && register(IORING_REGISTER_RESTRICTIONS, restrictions, restrictions.count)
      && register(IORING_REGISTER_ENABLE_RINGS, nil, 0)
  }

  var storage: any BlockStorage { image }
  /// The ring's own is readable when something is done.
  var descriptor: Int32 { uring.pointee.ring_fd }
  var ring: Int32? { uring.pointee.ring_fd }

  // MARK: operations

  func submit(_ operation: DiskOperation, tag: Int) {
    switch operation {
    case .read(let sector, let buffers): begin(buffers, sector, isRead: true, tag)
    case .write(let sector, let buffers): begin(buffers, sector, isRead: false, tag)
    case .flush:
      put(tag) { io_uring_prep_fsync($0, Self.file, UInt32(IORING_FSYNC_DATASYNC)) }
    case .discard:
      // As in Linux's back end: it is seldom, and a thread of the kernel's own would have to wait for it.
      done.append((tag, operation.carryOut(on: image)))
    }
  }

  private func begin(_ buffers: [UnsafeMutableRawBufferPointer], _ sector: UInt64, isRead: Bool, _ tag: Int) {
    precondition(buffers.count <= Self.vectorsPerTag)
    let first = tag * Self.vectorsPerTag
    for (index, buffer) in buffers.enumerated() {
      vectors[first + index] = iovec(iov_base: buffer.baseAddress, iov_len: buffer.count)
    }
    let transfer = VectorTransfer(
      isRead: isRead, offset: Int(sector) * BlockRing.sectorSize,
      vectors: vectors[first..<first + buffers.count])
    transfers[tag] = transfer
    put(transfer, tag)
  }

  private func put(_ transfer: VectorTransfer, _ tag: Int) {
    let (rest, offset) = (transfer.rest, UInt64(transfer.offset))
    put(tag) { entry in
      if transfer.isRead {
        io_uring_prep_readv(entry, Self.file, rest.baseAddress, UInt32(rest.count), offset)
      } else {
        io_uring_prep_writev(entry, Self.file, rest.baseAddress, UInt32(rest.count), offset)
      }
    }
  }

  private func put(_ tag: Int, _ prepare: (UnsafeMutablePointer<io_uring_sqe>) -> Void) {
    // Each tag has one entry at most, and there are as many entries as tags.
    guard let entry = io_uring_get_sqe(uring) else { preconditionFailure("the ring is full") }
    prepare(entry)
    io_uring_sqe_set_flags(entry, UInt32(Self.fixedFile))
    io_uring_sqe_set_data64(entry, UInt64(tag))
  }

  func start() {
    while io_uring_sq_ready(uring) > 0 {
      let result = io_uring_submit(uring)
      if result >= 0 || result == -EINTR { continue }
      // The kernel lacks memory, for a while.
      precondition([-EAGAIN, -EBUSY, -ENOMEM].contains(result), "io_uring_enter: \(-result)")
      usleep(1000)
    }
  }

  // MARK: what is done

  func takeDone() -> (tag: Int, isDone: Bool)? {
    if let first = done.popLast() { return first }
    while true {
      var found: UnsafeMutablePointer<io_uring_cqe>?
      guard io_uring_peek_cqe(uring, &found) == 0, let entry = found else { return nil }
      let (tag, result) = (Int(entry.pointee.user_data), entry.pointee.res)
      io_uring_cqe_seen(uring, entry)
      if let isDone = finish(tag, result) { return (tag, isDone) }
    }
  }

  /// - Parameter result: bytes that were moved, or an error, negative.
  /// - Returns: whether the operation is done as a whole; nil if it goes on.
  private func finish(_ tag: Int, _ result: Int32) -> Bool? {
    guard var transfer = transfers[tag] else { return result == 0 }
    transfers[tag] = nil
    // What the kernel cannot do now, it does when this waits for it.
    if result == -EINTR || result == -EAGAIN { return transfer.finish(image.descriptor) }
    // Nothing at all: the image was cut short behind our back.
    guard result > 0 else { return false }
    transfer.advance(by: Int(result))
    if transfer.isDone { return true }
    transfers[tag] = transfer
    put(transfer, tag)
    start()
    return nil
  }
}
