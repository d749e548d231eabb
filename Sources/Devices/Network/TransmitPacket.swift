// SPDX-License-Identifier: Apache-2.0

import Interfaces

/// A frame that a guest transmits, as its slots describe it: one or more parts, and what is wrong with them.
struct TransmitPacket: Sendable, Hashable {
  /// In the order of the slots: never none.
  private(set) var parts: [TransmitRequest]
  /// Slots with extra information, each of which wants an answer too.
  private(set) var extraCount = 0
  private(set) var isSegmentation = false
  /// Whether the slots make no sense. Each of them is answered all the same.
  private(set) var isMalformed = false

  init(first: TransmitRequest) { parts = [first] }

  /// Whether the front end says that slots with extra information follow the first.
  var hasExtras: Bool { parts[0].flags.contains(.extraInfo) }
  var isChecksumBlank: Bool { parts[0].flags.contains(.checksumBlank) }
  /// Whether the front end says that another part follows.
  var hasMore: Bool { parts[parts.count - 1].flags.contains(.moreData) }

  mutating func add(_ extra: NetworkExtra) {
    extraCount += 1
    if !extra.isSegmentation || isSegmentation { isMalformed = true }
    isSegmentation = true
  }

  mutating func add(_ part: TransmitRequest) {
    parts.append(part)
    if part.flags.contains(.extraInfo) { isMalformed = true }
  }

  /// The ring holds less than the slots say.
  mutating func isCutOff() { isMalformed = true }

  /// A range of a granted page.
  struct Piece: Sendable, Hashable {
    var reference: GrantReference
    var offset: Int
    var count: Int
  }

  /// Where the frame's bytes lie, in order.
  /// - Returns: nil for a frame that makes no sense: of no size, too many parts, or beyond its pages.
  func pieces() -> [Piece]? {
    let size = parts[0].size
    let rest = parts.dropFirst().reduce(0) { $0 + $1.size }
    guard !isMalformed, parts.count <= NetworkRing.maximumParts, size >= NetworkRing.minimumFrame,
      rest <= size
    else { return nil }
    var pieces: [Piece] = []
    for (index, part) in parts.enumerated() {
      let count = index == 0 ? size - rest : part.size
      guard part.offset + count <= frameSize else { return nil }
      pieces.append(Piece(reference: part.reference, offset: part.offset, count: count))
    }
    return pieces
  }
}
