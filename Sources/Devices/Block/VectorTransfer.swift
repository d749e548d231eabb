// SPDX-License-Identifier: Apache-2.0

import Glibc

/// A read or write of an image, as far as it is still to be done: the system may do a part of it.
struct VectorTransfer {
  var isRead: Bool
  /// Where it goes on in the file, in bytes.
  private(set) var offset: Int
  /// Memory of the caller's, which must last; what is done is cut off.
  private(set) var vectors: UnsafeMutableBufferPointer<iovec>.SubSequence

  init(isRead: Bool, offset: Int, vectors: UnsafeMutableBufferPointer<iovec>.SubSequence) {
    self.isRead = isRead
    self.offset = offset
    self.vectors = vectors
  }

  /// What is left for the system to do, at most 256 vectors of the 1024 that it takes.
  var rest: UnsafeMutableBufferPointer<iovec> { UnsafeMutableBufferPointer(rebasing: vectors) }

  var isDone: Bool { vectors.isEmpty }

  /// Cuts off what was done: so many bytes.
  mutating func advance(by count: Int) {
    var count = count
    offset += count
    while let first = vectors.first, first.iov_len <= count {
      count -= first.iov_len
      vectors.removeFirst()
    }
    guard let first = vectors.first else { return }
    vectors[vectors.startIndex] = iovec(
      iov_base: first.iov_base.map { $0 + count }, iov_len: first.iov_len - count)
  }

  /// Does all of it, and returns then.
  /// - Returns: false if the host could not.
  mutating func finish(_ descriptor: Int32) -> Bool {
    while !isDone {
      let (rest, size) = (rest, off_t(offset))
      let count =
        isRead
        ? preadv(descriptor, rest.baseAddress, Int32(rest.count), size)
        : pwritev(descriptor, rest.baseAddress, Int32(rest.count), size)
      if count < 0 && errno == EINTR { continue }
      // Nothing at all: the image was cut short behind our back.
      guard count > 0 else { return false }
      advance(by: count)
    }
    return true
  }
}
