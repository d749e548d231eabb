// SPDX-License-Identifier: Apache-2.0

/// What a table is indexed by: a scalar, or several.
public protocol TableKey {
  static var sorts: [Sort] { get }
  /// A key made of bound nodes.
  init(bound: [Node])
  var keyNodes: [Node] { get }
}

extension ScalarValue where Self: TableKey {
  public static var sorts: [Sort] { [sort] }
  public init(bound: [Node]) { self.init(node: bound[0]) }
  public var keyNodes: [Node] { [node] }
}

extension Bit: TableKey {}
extension Word: TableKey {}
extension ID: TableKey {}
extension Choice: TableKey {}

/// A key of two scalars.
public struct Pair<A: ScalarValue, B: ScalarValue>: TableKey {
  let a: A
  let b: B
  public static var sorts: [Sort] { [A.sort, B.sort] }
  public init(bound: [Node]) { self.init(a: A(node: bound[0]), b: B(node: bound[1])) }
  init(a: A, b: B) {
    self.a = a
    self.b = b
  }
  public var keyNodes: [Node] { [a.node, b.node] }
}

/// A key of three scalars.
public struct Triple<A: ScalarValue, B: ScalarValue, C: ScalarValue>: TableKey {
  let a: A
  let b: B
  let c: C
  public static var sorts: [Sort] { [A.sort, B.sort, C.sort] }
  public init(bound: [Node]) { self.init(a: A(node: bound[0]), b: B(node: bound[1]), c: C(node: bound[2])) }
  init(a: A, b: B, c: C) {
    self.a = a
    self.b = b
    self.c = c
  }
  public var keyNodes: [Node] { [a.node, b.node, c.node] }
}

/// A total function from keys to values: a `Table<Entry, Pair<Domain, Reference>>` is read and written as
/// `table[domain, reference]`.
///
/// At a small scope it is an array; in a proof at real size, an uninterpreted function.
public struct Table<V: Value, Key: TableKey> {
  /// One table node for each scalar of `V`.
  let columns: [Node]

  init(columns: [Node]) { self.columns = columns }

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
    get { self[Pair(a: a, b: b)] }
    set { self[Pair(a: a, b: b)] = newValue }
  }

  public subscript<A, B, C>(_ a: A, _ b: B, _ c: C) -> V where Key == Triple<A, B, C> {
    get { self[Triple(a: a, b: b, c: c)] }
    set { self[Triple(a: a, b: b, c: c)] = newValue }
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
    let new = body(Key(bound: bound), old)
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
