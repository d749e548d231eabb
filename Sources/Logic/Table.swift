// SPDX-License-Identifier: Apache-2.0

/// What a table is indexed by: a scalar, or several.
public protocol TableKey {
  static var sorts: [Sort] { get }
  /// A key made of the given scalars, one for each sort.
  init(keyNodes: [Node])
  var keyNodes: [Node] { get }
}

extension ScalarValue where Self: TableKey {
  public static var sorts: [Sort] { [sort] }
  public init(keyNodes: [Node]) { self.init(node: keyNodes[0]) }
  public var keyNodes: [Node] { [node] }
}

extension Bit: TableKey {}
extension Word: TableKey {}
extension ID: TableKey {}
extension Choice: TableKey {}

/// A key of two scalars.
public struct Pair<A: ScalarValue, B: ScalarValue>: TableKey {
  public let a: A
  public let b: B
  public static var sorts: [Sort] { [A.sort, B.sort] }
  public init(keyNodes: [Node]) { self.init(A(node: keyNodes[0]), B(node: keyNodes[1])) }
  public init(_ a: A, _ b: B) {
    self.a = a
    self.b = b
  }
  public var keyNodes: [Node] { [a.node, b.node] }
}

/// A key of three scalars.
public struct Triple<A: ScalarValue, B: ScalarValue, C: ScalarValue>: TableKey {
  public let a: A
  public let b: B
  public let c: C
  public static var sorts: [Sort] { [A.sort, B.sort, C.sort] }
  public init(keyNodes: [Node]) {
    self.init(A(node: keyNodes[0]), B(node: keyNodes[1]), C(node: keyNodes[2]))
  }
  public init(_ a: A, _ b: B, _ c: C) {
    self.a = a
    self.b = b
    self.c = c
  }
  public var keyNodes: [Node] { [a.node, b.node, c.node] }
}

/// A key that is two keys, one after the other.
public struct Joined<A: TableKey, B: TableKey>: TableKey {
  public let a: A
  public let b: B
  public static var sorts: [Sort] { A.sorts + B.sorts }
  public init(keyNodes: [Node]) {
    self.init(
      A(keyNodes: Array(keyNodes.prefix(A.sorts.count))),
      B(keyNodes: Array(keyNodes.dropFirst(A.sorts.count))))
  }
  public init(_ a: A, _ b: B) {
    self.a = a
    self.b = b
  }
  public var keyNodes: [Node] { a.keyNodes + b.keyNodes }
}

/// A key kept as a value.
public struct KeyValue<Key: TableKey>: Value {
  public let key: Key
  public init(_ key: Key) { self.key = key }
  public static var scalars: [Scalar] {
    Key.sorts.enumerated().map { Scalar(name: "\($0.offset)", sort: $0.element) }
  }
  public init(nodes: [Node]) { key = Key(keyNodes: nodes) }
  public var nodes: [Node] { key.keyNodes }
}

/// Whether two keys are the same.
public func same<Key: TableKey>(_ a: Key, _ b: Key) -> Bit {
  zip(a.keyNodes, b.keyNodes).reduce(true) { $0 && Bit(node: Node(.equal, .bit, [$1.0, $1.1])) }
}

/// A total function from keys to values: a `Table<Entry, Pair<Domain, Reference>>` is read and written as
/// `table[domain, reference]`.
///
/// At a small scope it is an array; in a proof at real size, an uninterpreted function.
public struct Table<V: Value, Key: TableKey> {
  /// One table node for each scalar of `V`.
  let columns: [Node]

  static var keySorts: [Sort] { Key.sorts }

  public subscript(_ key: Key) -> V {
    get { V(nodes: columns.map { Node(.select, $0.sort, [$0] + key.keyNodes) }) }
    set {
      let keys = key.keyNodes
      self = Table(
        columns: zip(columns, newValue.nodes).map { column, value in
          Self.keeps(column, keys, value) ? column : Node(.store, column.sort, [column] + keys + [value])
        })
    }
  }

  public subscript<A, B>(_ a: A, _ b: B) -> V where Key == Pair<A, B> {
    get { self[Pair(a, b)] }
    set { self[Pair(a, b)] = newValue }
  }

  public subscript<A, B, C>(_ a: A, _ b: B, _ c: C) -> V where Key == Triple<A, B, C> {
    get { self[Triple(a, b, c)] }
    set { self[Triple(a, b, c)] = newValue }
  }

  /// Whether a value is just what the column holds there: a field that the statement left alone.
  private static func keeps(_ column: Node, _ keys: [Node], _ value: Node) -> Bool {
    value.operation == .select && value.operands[0] === column
      && zip(value.operands.dropFirst(), keys).allSatisfy { $0 === $1 }
  }

  /// Replaces every entry at once: the value after, at each key, from the values before.
  ///
  ///     mappings.update { handle, old in choose(old.granter == dying, Mapping(), old) }
  public mutating func update(_ body: (Key, V) -> V) {
    let bound = Key.sorts.map { Node(.bound("key"), $0) }
    let old = V(nodes: columns.map { Node(.select, $0.sort, [$0] + bound) })
    let new = body(Key(keyNodes: bound), old)
    self = Table(
      columns: zip(columns, zip(old.nodes, new.nodes)).map { column, values in
        values.0 === values.1 ? column : Node(.tabulate, column.sort, bound + [values.1])
      })
  }

  /// `update` for keys of two scalars.
  public mutating func update<A, B>(_ body: (A, B, V) -> V) where Key == Pair<A, B> {
    update { (key: Key, old: V) in body(key.a, key.b, old) }
  }

  /// `update` for keys of three scalars.
  public mutating func update<A, B, C>(_ body: (A, B, C, V) -> V) where Key == Triple<A, B, C> {
    update { (key: Key, old: V) in body(key.a, key.b, key.c, old) }
  }
}
