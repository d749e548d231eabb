// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Synchronization

/// The store: a tree of small values that the toolstack, back ends and guests share and watch.
///
/// One lock over all of it; watchers are called without it, on the thread of whoever made the change.
public final class Store: Sendable {
  struct State {
    var tree: StoreTree
    var watches = StoreWatches()
    var transactions: [StoreClient: [UInt32: StoreTransaction]] = [:]
    var introduced: Set<DomainID> = [.host]
    var nextClient: UInt64 = 0
    var nextTransaction: UInt32 = 0
  }

  let quota: StoreQuota
  private let state: Mutex<State>

  public init(quota: StoreQuota = StoreQuota()) {
    self.quota = quota
    state = Mutex(State(tree: StoreTree(quota: quota)))
  }

  /// A new client that acts for a domain; the host may do everything.
  public func connect(as domain: DomainID) -> StoreClient {
    state.withLock { state in
      state.nextClient += 1
      return StoreClient(domain: domain, number: state.nextClient)
    }
  }

  /// Ends a client: its watches and transactions are gone.
  public func disconnect(_ client: StoreClient) { reset(client) }

  /// Runs `body` under the lock, and delivers the events that it returns when the lock is free again.
  private func update<Result>(
    _ body: (inout State) throws(StoreError) -> (Result, [StoreWatches.Delivery])
  ) throws(StoreError) -> Result {
    let outcome = state.withLock { state -> Swift.Result<(Result, [StoreWatches.Delivery]), StoreError> in
      do throws(StoreError) { return .success(try body(&state)) } catch { return .failure(error) }
    }
    let (result, deliveries) = try outcome.get()
    for deliver in deliveries { deliver() }
    return result
  }

  // MARK: nodes

  private func node(
    _ path: StorePath, _ access: StoreAccess, by client: StoreClient, in transaction: UInt32
  ) throws(StoreError) -> StoreTree.Node {
    try update { state throws(StoreError) in
      if transaction == 0 { return (try state.tree.node(path, access, by: client.domain), []) }
      guard var open = state.transactions[client]?[transaction] else { throw .noEntry }
      try open.rely(on: path)
      state.transactions[client]?[transaction] = open
      return (try open.tree.node(path, access, by: client.domain), [])
    }
  }

  /// The value of a node.
  /// - Parameter transaction: what `startTransaction` returned; 0 for none.
  public func read(_ path: StorePath, by client: StoreClient, in transaction: UInt32 = 0) throws(StoreError)
    -> [UInt8]
  {
    try node(path, .read, by: client, in: transaction).value
  }

  /// The names of a node's children, sorted.
  public func directory(_ path: StorePath, by client: StoreClient, in transaction: UInt32 = 0)
    throws(StoreError)
    -> [String]
  {
    try node(path, .read, by: client, in: transaction).children.sorted()
  }

  /// The names of a node's children, and a number that changes with the set of them.
  func directoryWithGeneration(_ path: StorePath, by client: StoreClient, in transaction: UInt32)
    throws(StoreError)
    -> (names: [String], generation: UInt64)
  {
    let node = try node(path, .read, by: client, in: transaction)
    return (node.children.sorted(), node.generation)
  }

  public func permissions(of path: StorePath, by client: StoreClient, in transaction: UInt32 = 0)
    throws(StoreError)
    -> StorePermissions
  {
    try node(path, .read, by: client, in: transaction).permissions
  }

  func apply(_ operation: StoreOperation, by client: StoreClient, in transaction: UInt32) throws(StoreError) {
    try update { state throws(StoreError) in
      if transaction == 0 {
        let changes = try state.tree.apply(operation, by: client.domain)
        return ((), state.watches.deliveries(for: changes))
      }
      guard var open = state.transactions[client]?[transaction] else { throw .noEntry }
      state.transactions[client]?[transaction] = nil
      let result = Swift.Result { () throws(StoreError) in try open.apply(operation, by: client.domain) }
      state.transactions[client, default: [:]][transaction] = open
      return (try result.get(), [])
    }
  }

  /// Sets a node's value; makes it, and what lacks above it, if it is not there.
  public func write(_ path: StorePath, _ value: [UInt8], by client: StoreClient, in transaction: UInt32 = 0)
    throws(StoreError)
  {
    try apply(.write(path, value), by: client, in: transaction)
  }

  /// Removes a node and all below it. One that is not there, in a node that is, is no error.
  public func remove(_ path: StorePath, by client: StoreClient, in transaction: UInt32 = 0) throws(StoreError)
  {
    try apply(.remove(path), by: client, in: transaction)
  }

  public func setPermissions(
    _ path: StorePath, _ permissions: StorePermissions, by client: StoreClient, in transaction: UInt32 = 0
  ) throws(StoreError) {
    try apply(.setPermissions(path, permissions), by: client, in: transaction)
  }

  // MARK: transactions

  /// Starts a transaction: reads see the store as it is now, and writes are not seen by others until its end.
  public func startTransaction(by client: StoreClient) throws(StoreError) -> UInt32 {
    try update { state throws(StoreError) in
      let open = state.transactions[client, default: [:]]
      guard client.domain == .host || open.count < quota.transactions else { throw .noSpace }
      repeat {
        state.nextTransaction &+= 1
      } while state.nextTransaction == 0 || open[state.nextTransaction] != nil
      state.transactions[client, default: [:]][state.nextTransaction] =
        StoreTransaction(on: state.tree, quota: quota)
      return (state.nextTransaction, [])
    }
  }

  /// Ends a transaction: does all that was done in it, or nothing.
  /// - Throws: `tryAgain` if what it relied on has changed meanwhile.
  public func endTransaction(_ transaction: UInt32, commit: Bool, by client: StoreClient) throws(StoreError) {
    try update { state throws(StoreError) in
      guard let open = state.transactions[client]?.removeValue(forKey: transaction) else { throw .noEntry }
      guard commit else { return ((), []) }
      let changes = try open.commit(to: &state.tree, by: client.domain)
      return ((), state.watches.deliveries(for: changes))
    }
  }

  // MARK: watches

  /// Watches a node and all below it. The first event, for the path itself, comes at once; later ones may come
  /// from any thread.
  func watch(
    _ target: StoreWatches.Target, isRelative: Bool, token: String, by client: StoreClient,
    _ deliver: @escaping @Sendable (StoreEvent) -> Void
  ) throws(StoreError) {
    try update { state throws(StoreError) in
      if client.domain != .host {
        guard state.watches.count(of: client) < quota.watches else { throw .tooBig }
        if case .special = target { throw .accessDenied }
      }
      let first = try state.watches.add(client, target, isRelative: isRelative, token: token, deliver)
      return ((), [first])
    }
  }

  func unwatch(_ target: StoreWatches.Target, token: String, by client: StoreClient) throws(StoreError) {
    try update { state throws(StoreError) in
      (try state.watches.remove(client, target, token: token), [])
    }
  }

  /// Drops a client's watches and transactions.
  func reset(_ client: StoreClient) {
    state.withLock { state in
      state.watches.removeAll(of: client)
      state.transactions[client] = nil
    }
  }

  // MARK: domains

  /// Makes a domain known; watchers of `@introduceDomain` hear of it.
  public func introduce(_ domain: DomainID) {
    let deliveries = state.withLock { state in
      state.introduced.insert(domain)
      return state.watches.deliveries(for: "@introduceDomain")
    }
    for deliver in deliveries { deliver() }
  }

  /// Forgets a domain; watchers of `@releaseDomain` hear of it.
  public func release(_ domain: DomainID) {
    let deliveries = state.withLock { state in
      state.introduced.remove(domain)
      return state.watches.deliveries(for: "@releaseDomain")
    }
    for deliver in deliveries { deliver() }
  }

  func isIntroduced(_ domain: DomainID) -> Bool { state.withLock { $0.introduced.contains(domain) } }
}
