// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Logic

public enum PoolFrameSort: WordSort {
  /// Machine frames of 4 KiB: 16 TiB of them. A word, for extents are ranges of frames.
  public static let sort = Sort.word("Frame", realBits: 32, scopeBits: 1)
}
public enum GuestPageSort: WordSort {
  /// Frames as a guest numbers them.
  public static let sort = Sort.word("GuestPage", realBits: 32, scopeBits: 1)
}
public enum PoolDomainSort: WordSort {
  /// Domain numbers are 15 bits wide. A word, as an owner is 0 where there is none.
  public static let sort = Sort.word("Domain", realBits: 15, scopeBits: 1)
}
public enum PagesSort: WordSort {
  /// Numbers of pages: to four times the frames that a host can have. A larger maximum means no more than the largest.
  public static let sort = Sort.word("Pages", realBits: 34, scopeBits: 3)
}
public enum ExtentSort: WordSort {
  /// An extent of 2ᵒ frames is given by 2ᵒ − 1, for orders to 31.
  public static let sort = Sort.word("Extent", realBits: 31, scopeBits: 2)
}
public enum FrameUsesSort: WordSort {
  /// A frame carries up to `maximumFrameReferences` references: 12 bits.
  public static let sort = Sort.word("FrameUses", realBits: 12, scopeBits: 1)
}

public typealias PoolFrame = Word<PoolFrameSort>
public typealias GuestPage = Word<GuestPageSort>
public typealias PoolDomain = Word<PoolDomainSort>
/// A number of frames.
public typealias Pages = Word<PagesSort>
/// The size of an extent less one frame: 0, 1, 3, 7, ….
public typealias Extent = Word<ExtentSort>

extension BalloonStatus: ChoiceSort {}

/// What an operation answers.
public typealias Answer = Choice<BalloonStatus>

/// What a machine frame is to its owner.
public enum FrameUse: ChoiceSort {
  /// Nobody's.
  case free
  case owned
  /// Taken out of its domain by an exchange, and not yet replaced or put back.
  case inFlight
}

/// A machine frame.
public struct PoolFrameState: Record {
  public var use = Choice(FrameUse.free)
  public var owner = PoolDomain(0)
  /// Whether it may hold data: what scrubbing removes.
  public var isDirty: Bit = false
  /// Where its owner's physical memory has it (the M2P).
  public var isMapped: Bit = false
  public var guest = GuestPage(0)
  /// The hypervisor works with it (a shared information page): it stays as long as its domain.
  public var isSpecial: Bit = false
  /// Uses by mappings, grants and tables, which keep it where it is.
  public var uses = Word<FrameUsesSort>(0)

  public init() {}
  public static var fields: [Field<PoolFrameState>] {
    [
      Field(\.use), Field(\.owner), Field(\.isDirty), Field(\.isMapped), Field(\.guest),
      Field(\.isSpecial), Field(\.uses),
    ]
  }

  func isOwned(by domain: PoolDomain) -> Bit { use == .owned && owner == domain }
  func isInFlight(of domain: PoolDomain) -> Bit { use == .inFlight && owner == domain }
}

/// What a domain's physical memory has at a page (the P2M).
public struct GuestMapping: Record {
  public var isPresent: Bit = false
  public var frame = PoolFrame(0)

  public init() {}
  public static var fields: [Field<GuestMapping>] { [Field(\.isPresent), Field(\.frame)] }
}
