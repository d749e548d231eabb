// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Xenstore

/// The two directories of a device in the store.
public struct DevicePaths: Sendable, Hashable {
  /// `/local/domain/N/device/KIND/NUMBER`: the guest's.
  public let frontEnd: StorePath
  /// `/local/domain/0/backend/KIND/N/NUMBER`: the host's, which the guest may read.
  public let backEnd: StorePath
  private let domain: DomainID

  /// - Parameter kind: `vbd`, `vif` and the like.
  public init(kind: String, domain: DomainID, number: Int) {
    frontEnd = .home(of: domain) / "device/\(kind)/\(number)"
    backEnd = .home(of: .host) / "backend/\(kind)/\(domain)/\(number)"
    self.domain = domain
  }

  /// Puts a device's directories into the store: both ends initialising, each pointing to the other.
  func create(in store: HostStore, frontEnd ours: [(String, String)], backEnd theirs: [(String, String)]) {
    let guestOwned = StorePermissions(owner: domain)
    let guestReadable = StorePermissions(owner: .host, .init(domain, .read))
    func put(_ nodes: [(String, String)], in directory: StorePath, _ permissions: StorePermissions) {
      store.write(directory, "", permissions)
      for (name, value) in nodes { store.write(directory / name, value, permissions) }
    }
    put(
      theirs + [
        ("frontend", frontEnd.description), ("frontend-id", domain.description), ("online", "1"),
        ("hotplug-status", "connected"), ("state", DeviceState.initialising.description),
      ], in: backEnd, guestReadable)
    put(
      ours + [
        ("backend", backEnd.description), ("backend-id", DomainID.host.description),
        ("state", DeviceState.initialising.description),
      ], in: frontEnd, guestOwned)
  }

  func remove(from store: HostStore) {
    store.remove(frontEnd)
    store.remove(backEnd)
  }
}
