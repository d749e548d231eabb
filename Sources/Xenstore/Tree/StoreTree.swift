// SPDX-License-Identifier: Apache-2.0

import Interfaces

/// A change that watches may fire for.
struct StoreChange: Sendable, Hashable {
  var path: StorePath
  /// The node's permissions when it changed: who may hear of it.
  var permissions: StorePermissions
  /// A removal of the node's parent or a node further up: only watches of exactly this path fire.
  var isConsequence = false
}

/// The nodes of the store: a value, so that a transaction works on a copy.
struct StoreTree: Sendable {
  struct Node: Sendable, Hashable {
    var value: [UInt8] = []
    var permissions: StorePermissions
    var children: Set<String> = []
    /// Changes with every change of the node or of its set of children; never the same twice.
    var generation: UInt64
  }

  private var nodes: [StorePath: Node]
  private var owned: [DomainID: Int] = [:]
  private var generation: UInt64 = 0
  private let quota: StoreQuota

  init(quota: StoreQuota) {
    self.quota = quota
    nodes = [.root: Node(permissions: StorePermissions(owner: .host, others: .read), generation: 0)]
  }

  /// The generation of a node; nil if there is none.
  func generation(of path: StorePath) -> UInt64? { nodes[path]?.generation }

  // MARK: reading

  /// A node, if the domain may do so much with it.
  func node(_ path: StorePath, _ access: StoreAccess, by domain: DomainID) throws(StoreError) -> Node {
    guard let node = nodes[path] else {
      // Whether something exists is told to those only who could see it.
      throw mayLook(for: path, by: domain) ? .noEntry : .accessDenied
    }
    guard node.permissions.allows(access, to: domain) else { throw .accessDenied }
    return node
  }

  private func mayLook(for path: StorePath, by domain: DomainID) -> Bool {
    guard let parent = nearestParent(of: path), let node = nodes[parent] else { return false }
    return node.permissions.allows(.read, to: domain)
  }

  /// The nearest node above a path.
  func nearestParent(of path: StorePath) -> StorePath? {
    var parent = path.parent
    while let candidate = parent, nodes[candidate] == nil { parent = candidate.parent }
    return parent
  }

  /// A node and all below it, each before its children.
  func subtree(_ path: StorePath) -> [StorePath] {
    guard nodes[path] != nil else { return [] }
    var found = [path]
    var next = 0
    while next < found.count {
      let parent = found[next]
      found += (nodes[parent]?.children.sorted() ?? []).map(parent.child)
      next += 1
    }
    return found
  }

  // MARK: writing

  /// Sets a value; makes the node, and those above it, if there are none.
  mutating func write(_ path: StorePath, _ value: [UInt8], by domain: DomainID) throws(StoreError)
    -> [StoreChange]
  {
    guard domain == .host || value.count <= quota.valueSize else { throw .noSpace }
    if nodes[path] == nil {
      let changes = try create(path, by: domain)
      nodes[path]?.value = value
      return changes
    }
    var node = try node(path, .write, by: domain)
    node.value = value
    node.generation = nextGeneration()
    nodes[path] = node
    return [StoreChange(path: path, permissions: node.permissions)]
  }

  /// Makes a node without a value; does nothing to one that is there.
  mutating func makeDirectory(_ path: StorePath, by domain: DomainID) throws(StoreError) -> [StoreChange] {
    if nodes[path] != nil {
      _ = try node(path, .write, by: domain)
      return []
    }
    return try create(path, by: domain)
  }

  /// Makes a node and those that lack above it; all inherit, and belong to the domain that makes them.
  private mutating func create(_ path: StorePath, by domain: DomainID) throws(StoreError) -> [StoreChange] {
    guard let base = nearestParent(of: path) else { throw .invalid }
    var permissions = try node(base, .write, by: domain).permissions
    if domain != .host { permissions.owner = domain }
    let names = path.description.dropFirst(base == .root ? 1 : base.description.count + 1).split(
      separator: "/")
    guard domain == .host || owned[domain, default: 0] + names.count <= quota.nodes else { throw .noSpace }
    var parent = base
    for name in names {
      let next = parent.child(String(name))
      nodes[parent]?.children.insert(String(name))
      touch(parent)
      nodes[next] = Node(permissions: permissions, generation: nextGeneration())
      owned[permissions.owner, default: 0] += 1
      parent = next
    }
    return [StoreChange(path: path, permissions: permissions)]
  }

  /// Removes a node and all below it.
  mutating func remove(_ path: StorePath, by domain: DomainID) throws(StoreError) -> [StoreChange] {
    guard let parent = path.parent else { throw .invalid }
    if nodes[path] == nil, nodes[parent] != nil {
      _ = try node(parent, .write, by: domain)
      return []
    }
    _ = try node(path, .write, by: domain)
    var changes: [StoreChange] = []
    for gone in subtree(path) {
      guard let node = nodes.removeValue(forKey: gone) else { continue }
      owned[node.permissions.owner, default: 1] -= 1
      changes.append(StoreChange(path: gone, permissions: node.permissions, isConsequence: gone != path))
    }
    nodes[parent]?.children.remove(path.name)
    touch(parent)
    return changes
  }

  /// Sets permissions; for the owner, who may not give the node away, and the host.
  mutating func setPermissions(_ path: StorePath, _ new: StorePermissions, by domain: DomainID)
    throws(StoreError)
    -> [StoreChange]
  {
    guard domain == .host || new.entries.count < quota.permissions else { throw .noSpace }
    var node = try node(path, .write, by: domain)
    let old = node.permissions.owner
    guard domain == .host || domain == old else { throw .accessDenied }
    guard domain == .host || new.owner == old else { throw .notPermitted }
    owned[old, default: 1] -= 1
    owned[new.owner, default: 0] += 1
    node.permissions = new
    node.generation = nextGeneration()
    nodes[path] = node
    return [StoreChange(path: path, permissions: new)]
  }

  /// Notes that a node's set of children has changed.
  private mutating func touch(_ path: StorePath) {
    let generation = nextGeneration()
    nodes[path]?.generation = generation
  }

  private mutating func nextGeneration() -> UInt64 {
    generation += 1
    return generation
  }
}
