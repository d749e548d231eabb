// SPDX-License-Identifier: Apache-2.0

import Interfaces

/// A change that a domain asks for.
enum StoreOperation: Sendable {
  case write(StorePath, [UInt8])
  case makeDirectory(StorePath)
  case remove(StorePath)
  case setPermissions(StorePath, StorePermissions)

  var path: StorePath {
    switch self {
    case .write(let path, _), .makeDirectory(let path), .remove(let path), .setPermissions(let path, _): path
    }
  }
}

extension StoreTree {
  mutating func apply(_ operation: StoreOperation, by domain: DomainID) throws(StoreError) -> [StoreChange] {
    switch operation {
    case .write(let path, let value): try write(path, value, by: domain)
    case .makeDirectory(let path): try makeDirectory(path, by: domain)
    case .remove(let path): try remove(path, by: domain)
    case .setPermissions(let path, let permissions): try setPermissions(path, permissions, by: domain)
    }
  }
}

/// A transaction: works on a copy of the tree, and notes what it relied on and what it did.
///
/// It ends well if nothing that it relied on has changed since it started; then its operations are done again on the
/// tree as it is now. So transactions are serialisable, and those that do not meet do not disturb each other.
struct StoreTransaction: Sendable {
  private let start: StoreTree
  private(set) var tree: StoreTree
  private let limit: Int
  /// The generation that each node looked at had at the start; nil for one that was not there.
  private var reliedOn: [StorePath: UInt64?] = [:]
  private var operations: [StoreOperation] = []

  init(on tree: StoreTree, quota: StoreQuota) {
    start = tree
    self.tree = tree
    limit = quota.transactionSize
  }

  /// Notes that the outcome depends on a node.
  mutating func rely(on path: StorePath) throws(StoreError) {
    try note(path)
    // A node that is not there depends on who may look for it, and on where it would be made.
    if start.generation(of: path) == nil, let parent = start.nearestParent(of: path) { try note(parent) }
  }

  private mutating func note(_ path: StorePath) throws(StoreError) {
    guard !reliedOn.keys.contains(path) else { return }
    guard reliedOn.count < limit else { throw .noSpace }
    reliedOn.updateValue(start.generation(of: path), forKey: path)
  }

  mutating func apply(_ operation: StoreOperation, by domain: DomainID) throws(StoreError) {
    guard operations.count < limit else { throw .noSpace }
    try rely(on: operation.path)
    if case .remove(let path) = operation {
      for gone in start.subtree(path) { try rely(on: gone) }
      if let parent = path.parent { try rely(on: parent) }
    }
    _ = try tree.apply(operation, by: domain)
    operations.append(operation)
  }

  /// Does it all on the present tree, or nothing.
  func commit(to present: inout StoreTree, by domain: DomainID) throws(StoreError) -> [StoreChange] {
    for (path, generation) in reliedOn where present.generation(of: path) != generation { throw .tryAgain }
    var next = present
    var changes: [StoreChange] = []
    for operation in operations { changes += try next.apply(operation, by: domain) }
    present = next
    return changes
  }
}
