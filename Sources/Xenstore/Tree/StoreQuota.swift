// SPDX-License-Identifier: Apache-2.0

/// How much of the store a guest may use; the host is not limited. The figures are those of Xen's own daemons.
public struct StoreQuota: Sendable, Hashable {
  /// Nodes that a domain owns.
  public var nodes = 1000
  /// Bytes of a value.
  public var valueSize = 2048
  /// Entries of a node's permissions.
  public var permissions = 5
  public var watches = 128
  /// Transactions open at a time.
  public var transactions = 10
  /// Nodes that a transaction looks at or changes, and operations in it.
  public var transactionSize = 2048
  /// Watch events that wait for a guest that does not read; further ones are dropped.
  public var pendingEvents = 1024

  public init() {}
}
