// SPDX-License-Identifier: Apache-2.0

/// Several values that are one thing: a grant entry, a page-table entry.
///
///     struct Entry: Record {
///       var kind = Choice(Kind.none)
///       var frame = Frame(0)
///       static var fields: [Field<Entry>] { [Field(\.kind), Field(\.frame)] }
///     }
///
/// The stored properties' initial values are what a table of the record holds at first.
public protocol Record: Value, Stored {
  init()
  /// Every stored property, in order.
  static var fields: [Field<Self>] { get }
}

/// A stored property of a record.
public struct Field<Owner> {
  let scalars: [Scalar]
  let read: (Owner) -> [Node]
  let write: (inout Owner, [Node]) -> Void

  public init<V: Value>(_ path: WritableKeyPath<Owner, V>) {
    scalars = V.scalars
    read = { $0[keyPath: path].nodes }
    write = { $0[keyPath: path] = V(nodes: $1) }
  }
}

extension Record {
  public static var scalars: [Scalar] {
    let names = Mirror(reflecting: Self()).children.map { $0.label ?? "?" }
    let fields = Self.fields
    precondition(
      names.count == fields.count,
      "\(Self.self) has \(names.count) stored properties and lists \(fields.count) fields: list every one, in order"
    )
    return zip(names, fields).flatMap { name, field in
      field.scalars.map { Scalar(name: $0.name.isEmpty ? name : "\(name).\($0.name)", sort: $0.sort) }
    }
  }

  public init(nodes: [Node]) {
    self.init()
    var rest = nodes[...]
    for field in Self.fields {
      field.write(&self, Array(rest.prefix(field.scalars.count)))
      rest = rest.dropFirst(field.scalars.count)
    }
    precondition(rest.isEmpty, "\(Self.self): too many scalars")
  }

  public var nodes: [Node] { Self.fields.flatMap { $0.read(self) } }

  public static func == (a: Self, b: Self) -> Bit {
    zip(a.nodes, b.nodes).reduce(true) { $0 && Bit(node: Node(.equal, .bit, [$1.0, $1.1])) }
  }
  public static func != (a: Self, b: Self) -> Bit { !(a == b) }
}
