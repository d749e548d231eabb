// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Logic

public enum GrantDomainSort: IdentitySort {
  /// Domain numbers are 15 bits wide; the reserved ones are among the 2¹⁵ that the proofs range over.
  public static let sort = Sort.identity("Domain", realBits: 15, scopeCount: 2)
}
public enum ReferenceSort: IdentitySort {
  public static let sort = Sort.identity("Reference", realBits: 32, scopeCount: 1)
}
public enum HandleSort: IdentitySort {
  public static let sort = Sort.identity("Handle", realBits: 32, scopeCount: 2)
}
public enum FrameSort: IdentitySort {
  /// A version-1 entry holds 32 bits of frame number.
  public static let sort = Sort.identity("Frame", realBits: 32, scopeCount: 2)
}
public enum PinCountSort: WordSort {
  /// Each of an entry's four pin counts goes to 127.
  public static let sort = Sort.word("PinCount", realBits: 7, scopeBits: 1)
}
public enum UseCountSort: WordSort {
  /// A frame carries up to `maximumFrameReferences` references: 12 bits.
  public static let sort = Sort.word("UseCount", realBits: 12, scopeBits: 2)
}
public enum EntryOffsetSort: WordSort {
  /// A page-table entry has 8 bytes.
  public static let sort = Sort.word("EntryOffset", realBits: 3, scopeBits: 1)
}

public typealias Domain = ID<GrantDomainSort>
public typealias Reference = ID<ReferenceSort>
public typealias Handle = ID<HandleSort>
public typealias Frame = ID<FrameSort>
public typealias EntryOffset = Word<EntryOffsetSort>

extension GrantStatus: ChoiceSort {}

/// What an operation answers.
public typealias Status = Choice<GrantStatus>

/// A domain's life.
public enum Life: ChoiceSort {
  case absent, running
  /// It makes no more calls and its grants cannot be mapped any more; others may still have them mapped.
  case dying
}

/// The type bits of an entry.
public enum EntryType: ChoiceSort { case invalid, permitAccess, acceptTransfer, transitive }

/// A mapping reaches the frame for processors, or for devices.
public enum Part: ChoiceSort { case host, device }

/// What a pin keeps pinned.
public enum PinKind: ChoiceSort { case hostRead, hostWrite, deviceRead, deviceWrite }

/// An entry as it lies in memory shared with its domain, who writes to it at any time.
public struct SharedEntry: Record {
  public var type = Choice(EntryType.invalid)
  /// permitAccess: read-only. acceptTransfer: committed.
  public var bit2: Bit = false
  /// permitAccess: reading. acceptTransfer: completed.
  public var bit3: Bit = false
  /// permitAccess: writing.
  public var bit4: Bit = false
  public var domain = Domain(0)
  public var frame = Frame(0)

  public init() {}
  public static var fields: [Field<SharedEntry>] {
    [Field(\.type), Field(\.bit2), Field(\.bit3), Field(\.bit4), Field(\.domain), Field(\.frame)]
  }

  /// What a grant is: the entry lets `grantee` reach the frame, and write to it if `writes`.
  func permits(_ grantee: Domain, writes: Bit) -> Bit {
    type == .permitAccess && domain == grantee && (bit2 && writes) == false
  }
}

/// What an entry was when it was first pinned, kept where its domain cannot write.
public struct ActiveEntry: Record {
  public var domain = Domain(0)
  public var frame = Frame(0)

  public init() {}
  public static var fields: [Field<ActiveEntry>] { [Field(\.domain), Field(\.frame)] }
}

/// A mapping, as its mapper's handle names it; in use while it has a part.
public struct Mapping: Record {
  public var host: Bit = false
  public var device: Bit = false
  public var readOnly: Bit = false
  public var granter = Domain(0)
  public var reference = Reference(0)
  public var frame = Frame(0)

  public init() {}
  public static var fields: [Field<Mapping>] {
    [
      Field(\.host), Field(\.device), Field(\.readOnly), Field(\.granter), Field(\.reference), Field(\.frame),
    ]
  }

  var isUsed: Bit { host || device }
}

/// A machine frame: whose it is, if anybody's.
public struct FrameState: Record {
  public var isOwned: Bit = false
  public var owner = Domain(0)

  public init() {}
  public static var fields: [Field<FrameState>] { [Field(\.isOwned), Field(\.owner)] }

  func belongs(to domain: Domain) -> Bit { isOwned && owner == domain }
}
