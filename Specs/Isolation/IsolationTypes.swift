// SPDX-License-Identifier: Apache-2.0

import Logic

public enum VirtualPageSort: IdentitySort {
  /// 48 bits of address, less the 12 of a page. Source: Intel SDM volume 3, section 4.5.
  public static let sort = Sort.identity("VirtualPage", realBits: 36, scopeCount: 1)
}

public typealias VirtualPage = ID<VirtualPageSort>

/// A machine frame: whose it is, if anybody's, and whether its contents are wiped.
public struct HostFrame: Record {
  public var isOwned: Bit = false
  public var owner = Domain(0)
  public var isClean: Bit = true

  public init() {}
  public static var fields: [Field<HostFrame>] {
    [Field(\.isOwned), Field(\.owner), Field(\.isClean)]
  }

  func belongs(to domain: Domain) -> Bit { isOwned && owner == domain }
}

/// What a domain lets another do with a frame.
public struct Permission: TableKey {
  public let granter: Domain
  public let grantee: Domain
  public let frame: Frame
  public let writes: Bit

  public init(_ granter: Domain, _ grantee: Domain, _ frame: Frame, writes: Bit) {
    self.granter = granter
    self.grantee = grantee
    self.frame = frame
    self.writes = writes
  }
  public static var sorts: [Sort] { [Domain.sort, Domain.sort, Frame.sort, Bit.sort] }
  public init(keyNodes: [Node]) {
    self.init(
      Domain(node: keyNodes[0]), Domain(node: keyNodes[1]), Frame(node: keyNodes[2]),
      writes: Bit(node: keyNodes[3]))
  }
  public var keyNodes: [Node] { [granter.node, grantee.node, frame.node, writes.node] }
}

/// A grant that its grantee has mapped, as a handle names it; which entry of which table it came from is Grants' affair.
public struct MappedGrant: Record {
  public var isUsed: Bit = false
  public var writes: Bit = false
  public var granter = Domain(0)
  public var frame = Frame(0)

  public init() {}
  public static var fields: [Field<MappedGrant>] {
    [Field(\.isUsed), Field(\.writes), Field(\.granter), Field(\.frame)]
  }

  /// Whether it is a reason to reach a frame, for writing if `writes`.
  func reaches(_ frame: Frame, writes: Bit) -> Bit {
    isUsed && self.frame == frame && writes.implies(self.writes)
  }
}

/// Why a domain's shadows may map a frame: it is its own, or one of its handles maps it.
public struct Reason: Record {
  public var isOwnership: Bit = false
  public var handle = Handle(0)

  public init() {}
  public static var fields: [Field<Reason>] { [Field(\.isOwnership), Field(\.handle)] }
}

/// A back end's view of a frame that its domain has mapped: a pointer of the host's into it.
public struct Window: Record {
  public var isOpen: Bit = false
  public var writes: Bit = false
  public var frame = Frame(0)

  public init() {}
  public static var fields: [Field<Window>] { [Field(\.isOpen), Field(\.writes), Field(\.frame)] }
}

/// What a frame has been through, for the witnesses.
public struct Past: Record {
  public var isWiped: Bit = false
  public var isMapped: Bit = false
  public var isServed: Bit = false
  public var isUsed: Bit = false

  public init() {}
  public static var fields: [Field<Past>] {
    [Field(\.isWiped), Field(\.isMapped), Field(\.isServed), Field(\.isUsed)]
  }
}
