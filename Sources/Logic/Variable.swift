// SPDX-License-Identifier: Apache-2.0
//
// State variables: property wrappers that a Machine finds in itself and gives a place in the state.

/// What a variable is for.
public enum Role: Sendable, Hashable {
  /// Part of the machine.
  case state
  /// History that rules speak of and implementations need not keep. Written only, never read, by the machine.
  case ghost
  /// A witness that a proof needs and an exploration does not: absent from explored states.
  case witness
}

/// What a component holds before the first action.
public enum Initial: Sendable, Hashable {
  case value(UInt64)
  /// Any value, the same or another in every entry.
  case any
}

/// One scalar, or one column of a table, of the state.
public struct Component: Sendable, Hashable {
  /// The variable that it is part of.
  public let variable: String
  /// The field of a record that it is; "" where the variable has one scalar.
  public let field: String
  public let sort: Sort
  /// Empty for a scalar.
  public let keys: [Sort]
  public let initial: Initial
  public let role: Role

  /// Dotted: variable, then the field of a record.
  public var name: String { field.isEmpty ? variable : "\(variable).\(field)" }
}

/// What a Machine needs of its variables, whatever their types.
protocol VariableBox: AnyObject {
  func place(_ name: String, at first: Int) -> [Component]
  func attach(_ tracer: Tracer)
  /// The expressions of the variable's components at this point of the trace.
  var current: [Node] { get set }
  var original: [Node] { get }
}

/// Something that holds variables, found by reflection: a Machine's parts.
public protocol StateGroup: AnyObject {}

/// What a wrapped type needs so that it can be state: scalars, records and tables have it.
public protocol Stored {
  static var storedScalars: [Scalar] { get }
  static var storedKeys: [Sort] { get }
  static var defaultValues: [UInt64] { get }
  init(stored: [Node])
  var stored: [Node] { get }
}

extension Value where Self: Stored {
  public static var storedScalars: [Scalar] { scalars }
  public static var storedKeys: [Sort] { [] }
  public init(stored: [Node]) { self.init(nodes: stored) }
  public var stored: [Node] { nodes }
}

extension ScalarValue where Self: Stored {
  public static var defaultValues: [UInt64] { [0] }
}

extension Record {
  public static var defaultValues: [UInt64] { initialValues(of: Self().nodes, named: "\(Self.self)") }
}

/// The constants that a record's property initialisers are.
func initialValues(of nodes: [Node], named name: String) -> [UInt64] {
  nodes.map { node in
    guard case .constant(let value) = node.operation else {
      preconditionFailure("\(name): an initial value must be a constant")
    }
    return value
  }
}

extension Bit: Stored {}
extension Word: Stored {}
extension ID: Stored {}
extension Choice: Stored {}

extension Table: Stored {
  public static var storedScalars: [Scalar] { V.scalars }
  public static var storedKeys: [Sort] { keySorts }
  public static var defaultValues: [UInt64] {
    if let record = V.self as? any Record.Type {
      return initialValues(of: record.init().nodes, named: "\(V.self)")
    }
    return V.scalars.map { _ in 0 }
  }
  public init(stored: [Node]) { self.init(columns: stored) }
  public var stored: [Node] { columns }
}

/// A variable of the machine's state.
@propertyWrapper
public final class Var<S: Stored>: VariableBox {
  let role: Role
  let initial: [Initial]
  private(set) var original: [Node] = []
  var current: [Node] = []
  private var name = "?"
  private weak var tracer: Tracer?

  /// A variable that begins at its type's default: 0, false, the first case, a record's own initial values.
  public convenience init() { self.init(role: .state, initial: S.defaultValues.map(Initial.value)) }

  /// A variable that begins at the given constant.
  public convenience init(wrappedValue: S) {
    self.init(
      role: .state, initial: initialValues(of: wrappedValue.stored, named: "\(S.self)").map(Initial.value))
  }

  /// A variable that begins at any value (of which `assumptions` may say more).
  public convenience init(anyOf type: S.Type = S.self) {
    self.init(role: .state, initial: S.defaultValues.map { _ in .any })
  }

  init(role: Role, initial: [Initial]) {
    self.role = role
    self.initial = initial
  }

  public var wrappedValue: S {
    get {
      precondition(
        tracer != nil, "a variable of \(S.self) is read outside an action or invariant of its machine")
      return S(stored: current)
    }
    set {
      guard let tracer else {
        preconditionFailure("a variable of \(S.self) is assigned outside an action of its machine")
      }
      if tracer.keepsAssignment(to: name) { current = newValue.stored }
    }
  }

  func place(_ name: String, at first: Int) -> [Component] {
    self.name = name
    let keys = S.storedKeys
    let scalars = S.storedScalars
    original = scalars.indices.map { index in
      Node(keys.isEmpty ? .stateScalar(first + index) : .stateTable(first + index), scalars[index].sort)
    }
    current = original
    return zip(scalars, initial).map { scalar, initial in
      Component(
        variable: name, field: scalar.name, sort: scalar.sort, keys: keys, initial: initial, role: role)
    }
  }

  func attach(_ tracer: Tracer) { self.tracer = tracer }
}

/// A variable that records history for the rules to speak of; no implementation keeps it.
@propertyWrapper
public final class Ghost<S: Stored>: VariableBox {
  private let variable: Var<S>

  public init() { variable = Var(role: .ghost, initial: S.defaultValues.map(Initial.value)) }

  /// A witness is written for proofs alone: explored states do not have it.
  public init(witness: Bool) {
    variable = Var(role: witness ? .witness : .ghost, initial: S.defaultValues.map(Initial.value))
  }

  public var wrappedValue: S {
    get { variable.wrappedValue }
    set { variable.wrappedValue = newValue }
  }
  var current: [Node] {
    get { variable.current }
    set { variable.current = newValue }
  }
  var original: [Node] { variable.original }
  func place(_ name: String, at first: Int) -> [Component] { variable.place(name, at: first) }
  func attach(_ tracer: Tracer) { variable.attach(tracer) }
}
