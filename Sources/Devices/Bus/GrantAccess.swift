// SPDX-License-Identifier: Apache-2.0

import Hypervisor
import Interfaces

/// One guest's grants, as a back end uses them.
public protocol GrantAccess: Sendable {
  /// Maps pages that the guest has granted to the host: all of them or none.
  /// - Returns: the pages in the order of the references; or the first refusal.
  func map(_ references: [GrantReference], readOnly: Bool) -> Result<[MappedPage], GrantRefusal>

  /// Lets go of pages that `map` returned.
  func unmap(_ pages: [MappedPage])
}

/// A guest's page, mapped: 4096 bytes that the guest may change at any time.
public struct MappedPage: @unchecked Sendable {
  public let bytes: UnsafeMutableRawPointer
  let handle: GrantHandle

  public init(bytes: UnsafeMutableRawPointer, handle: GrantHandle) {
    self.bytes = bytes
    self.handle = handle
  }
}

/// A grant that cannot be mapped, and why.
public struct GrantRefusal: Error, Sendable, Hashable, CustomStringConvertible {
  public var reference: GrantReference
  public var status: GrantStatus

  public init(reference: GrantReference, status: GrantStatus) {
    self.reference = reference
    self.status = status
  }

  public var description: String { "grant \(reference) cannot be mapped (\(status))" }
}

/// What back ends need of a host to reach granted memory.
public protocol GrantHost: Sendable {
  /// The grant tables, for one caller at a time.
  func withGrants<Result>(_ body: (any GrantTables) throws -> Result) rethrows -> Result

  /// The 4096 bytes of a frame; nil if it is out of range.
  func bytes(of frame: MachineFrame) -> UnsafeMutableRawPointer?
}

extension Host: GrantHost {
  public func bytes(of frame: MachineFrame) -> UnsafeMutableRawPointer? { memory.bytes(of: frame) }
}

/// Grants through the host's grant tables.
public struct HostGrants: GrantAccess {
  private let host: any GrantHost
  private let granter: DomainID

  public init(_ host: any GrantHost, of granter: DomainID) {
    self.host = host
    self.granter = granter
  }

  public func map(_ references: [GrantReference], readOnly: Bool) -> Result<[MappedPage], GrantRefusal> {
    host.withGrants { grants in
      var pages: [MappedPage] = []
      for reference in references {
        let request = GrantMapRequest(granter: granter, reference: reference, readOnly: readOnly)
        let mapping = grants.map(request, by: .host)
        var status = mapping.status
        if status == .okay {
          if let bytes = host.bytes(of: mapping.frame) {
            pages.append(MappedPage(bytes: bytes, handle: mapping.handle))
            continue
          }
          _ = grants.unmap(mapping.handle, host: true, device: false, by: .host)
          status = .badPage
        }
        Self.unmap(pages, grants)
        return .failure(GrantRefusal(reference: reference, status: status))
      }
      return .success(pages)
    }
  }

  public func unmap(_ pages: [MappedPage]) {
    host.withGrants { Self.unmap(pages, $0) }
  }

  private static func unmap(_ pages: [MappedPage], _ grants: any GrantTables) {
    for page in pages {
      let status = grants.unmap(page.handle, host: true, device: false, by: .host).status
      precondition(status == .okay, "a handle of the host's own could not be unmapped: \(status)")
    }
  }
}
