// SPDX-License-Identifier: Apache-2.0

/// The base of a specification.
///
/// A subclass declares its state with `@Var` (and `@Ghost`), its actions as ordinary methods over expressions, and
/// lists them in `actions`. A method's body runs once, over symbols, when the machine is traced:
///
///     public final class Counter: Machine {
///       @Var var value: BV<8>
///       func increment() {
///         require(value < 9)
///         value += 1
///       }
///       public override var actions: [Action] { [action("increment()", increment)] }
///       public override var invariants: [Invariant] { [invariant("bounded") { self.value <= 9 }] }
///     }
///
/// Swift's `if` cannot take a `Bit`: `when(c) { … } else: { … }` traces both branches and merges them, and `choose`
/// picks between values. An action may be loose: what an implementation is free to choose is a parameter that
/// `require` constrains.
open class Machine {
  public init() {}

  /// The name under which the machine is reported.
  open var name: String { "\(type(of: self))" }
  open var actions: [Action] { [] }
  open var invariants: [Invariant] { [] }
  open var witnesses: [Witness] { [] }
  /// Facts about the variables declared `@Var(anyOf:)`, over all indices.
  open var assumptions: [Invariant] { [] }
  open var rules: [Rule] { [] }
  /// What must come about in the end, if what can go on does.
  open var liveness: [LeadsTo] { [] }

  private var tracer: Tracer?

  /// Runs every body once.
  /// - Throws: what makes no sense: two actions of one name, labels that do not fit, ghosts that leak, …
  public final func trace(mutation: TraceMutation? = nil) throws(SpecificationError) -> Specification {
    var components: [Component] = []
    var boxes: [any VariableBox] = []
    place(self, prefix: "", &components, &boxes)
    let tracer = Tracer(boxes: boxes, mutation: mutation)
    for box in boxes { box.attach(tracer) }
    self.tracer = tracer
    defer { self.tracer = nil }
    let specification = Specification(
      name: name, components: components, actions: actions, invariants: invariants, witnesses: witnesses,
      assumptions: assumptions, rules: rules, liveness: liveness)
    try specification.validate()
    return specification
  }

  private func place(
    _ group: AnyObject, prefix: String, _ components: inout [Component], _ boxes: inout [any VariableBox]
  ) {
    var mirror: Mirror? = Mirror(reflecting: group)
    var mirrors: [Mirror] = []
    while let level = mirror {
      mirrors.append(level)
      mirror = level.superclassMirror
    }
    // Superclasses first: a mutant's state begins as its original's does.
    for child in mirrors.reversed().flatMap(\.children) {
      let label = child.label ?? "?"
      let name = prefix + (label.hasPrefix("_") ? String(label.dropFirst()) : label)
      if let box = child.value as? any VariableBox {
        components += box.place(name, at: components.count)
        boxes.append(box)
      } else if let group = child.value as? any StateGroup {
        place(group, prefix: name + ".", &components, &boxes)
      }
    }
  }

  private var current: Tracer {
    guard let tracer else { preconditionFailure("\(name): require and when belong in the body of an action") }
    return tracer
  }

  // MARK: In the body of an action

  /// Asks for a condition: without it the action is not possible here.
  public final func require(
    _ condition: Bit, _ rule: String? = nil, file: StaticString = #fileID, line: UInt = #line
  ) {
    current.require([], condition, rule: rule, site: Site(file, line))
  }

  /// Asks for a condition on every index: "nobody maps any of its grants".
  public final func requireAll<each A: ScalarValue>(
    _ rule: String? = nil, file: StaticString = #fileID, line: UInt = #line, _ body: (repeat each A) -> Bit
  ) {
    let (bound, condition) = quantified(body)
    current.require(bound, Bit(node: condition), rule: rule, site: Site(file, line))
  }

  /// What holds only under a condition.
  public final func when(_ condition: Bit, _ then: () -> Void, else otherwise: () -> Void = {}) {
    current.branch(condition, then, otherwise)
  }

  // MARK: Declarations

  /// An action that answers nothing. `signature` is the method's full name, such as "push(value:)".
  public final func action<each A: ScalarValue>(
    _ signature: String, _ body: (repeat each A) -> Void, file: StaticString = #fileID, line: UInt = #line
  ) -> Action {
    traced(signature, body, results: { _ in [] }, Site(file, line))
  }

  /// An action that answers a value, such as a status code.
  public final func action<each A: ScalarValue, R: Value>(
    _ signature: String, _ body: (repeat each A) -> R, file: StaticString = #fileID, line: UInt = #line
  ) -> Action {
    traced(signature, body, results: { Array(zip(R.scalars, $0.nodes)) }, Site(file, line))
  }

  private func traced<each A: ScalarValue, R>(
    _ signature: String, _ body: (repeat each A) -> R, results: (R) -> [(scalar: Scalar, node: Node)],
    _ site: Site
  ) -> Action {
    let (name, labels) = Self.split(signature)
    let tracer = current
    tracer.begin(name)
    var parameters: [Parameter] = []
    func argument<T: ScalarValue>(_ type: T.Type) -> T {
      let index = parameters.count
      parameters.append(Parameter(name: index < labels.count ? labels[index] : "?", sort: T.sort))
      return T(node: Node(.argument(index), T.sort))
    }
    let answer = body(repeat argument((each A).self))
    precondition(
      parameters.count == labels.count,
      "\(self.name): \(signature) names \(labels.count) parameters, its body has \(parameters.count)")
    let resultNodes = results(answer)
    let guards = tracer.guards
    let assignments = tracer.assignments
    return Action(
      name: name, parameters: parameters, guards: guards, results: resultNodes, next: tracer.finish(),
      assignments: assignments, site: site)
  }

  /// "push(value:)" as its name and its labels.
  private static func split(_ signature: String) -> (String, [String]) {
    guard let open = signature.firstIndex(of: "("), signature.hasSuffix(")") else { return (signature, []) }
    let labels = signature[signature.index(after: open)...].dropLast().split(separator: ":").map(String.init)
    return (String(signature[..<open]), labels)
  }

  /// A claim about every reachable state, for all values of the body's parameters.
  public final func invariant<each A: ScalarValue>(
    _ name: String, _ rule: String? = nil, reading: Invariant.Reading = .everywhere,
    file: StaticString = #fileID, line: UInt = #line, _ body: (repeat each A) -> Bit
  ) -> Invariant {
    let (bound, condition) = quantified(body)
    return Invariant(
      name: name, rule: rule, bound: bound, body: condition, reading: reading, site: Site(file, line))
  }

  /// A claim about every reachable state, for all values of one key.
  public final func invariant<Key: TableKey>(
    _ name: String, _ rule: String? = nil, over type: Key.Type, reading: Invariant.Reading = .everywhere,
    file: StaticString = #fileID, line: UInt = #line, _ body: (Key) -> Bit
  ) -> Invariant {
    let bound = Key.sorts.enumerated().map { Node(.bound("x\($0.offset)"), $0.element) }
    return Invariant(
      name: name, rule: rule, bound: bound, body: body(Key(keyNodes: bound)).node, reading: reading,
      site: Site(file, line))
  }

  /// A fact about initial states and constants, for all values of the body's parameters.
  public final func assume<each A: ScalarValue>(
    _ name: String, file: StaticString = #fileID, line: UInt = #line, _ body: (repeat each A) -> Bit
  ) -> Invariant {
    invariant(name, file: file, line: line, body)
  }

  /// A state that must be reachable, for some values of the body's parameters.
  public final func sometimes<each A: ScalarValue>(
    _ name: String, file: StaticString = #fileID, line: UInt = #line, _ body: (repeat each A) -> Bit
  ) -> Witness {
    let (bound, condition) = quantified(body)
    return Witness(name: name, bound: bound, body: condition, site: Site(file, line))
  }

  /// What leads to what: wherever `from` holds, `to` holds there or later, in every run in which no step that is
  /// named in `fair` stays possible for ever without being taken.
  public final func leadsTo<each A: ScalarValue>(
    _ name: String, _ rule: String? = nil, fair: [Fairness], file: StaticString = #fileID, line: UInt = #line,
    _ body: (repeat each A) -> (from: Bit, to: Bit)
  ) -> LeadsTo {
    let (bound, condition) = bind(body)
    return LeadsTo(
      name: name, rule: rule, bound: bound, from: condition.from.node, to: condition.to.node, fair: fair,
      site: Site(file, line))
  }

  /// Steps that must be taken only where a condition on their arguments holds.
  public final func fair<each A: ScalarValue>(_ action: String, where body: (repeat each A) -> Bit)
    -> Fairness
  {
    let (bound, condition) = quantified(body)
    return Fairness(action, bound: bound, condition: condition)
  }

  private func quantified<each A: ScalarValue>(_ body: (repeat each A) -> Bit) -> ([Node], Node) {
    let (bound, condition) = bind(body)
    return (bound, condition.node)
  }

  private func bind<each A: ScalarValue, R>(_ body: (repeat each A) -> R) -> ([Node], R) {
    var bound: [Node] = []
    func variable<T: ScalarValue>(_ type: T.Type) -> T {
      let node = Node(.bound("x\(bound.count)"), T.sort)
      bound.append(node)
      return T(node: node)
    }
    let value = body(repeat variable((each A).self))
    return (bound, value)
  }
}

/// How many values of the body's parameters satisfy it, as a word. Only explorations can count: use it in
/// invariants of reading `.explorationOnly`.
public func cardinality<each A: ScalarValue, S: WordSort>(
  as type: Word<S>.Type = Word<S>.self, _ body: (repeat each A) -> Bit
) -> Word<S> {
  var bound: [Node] = []
  func variable<T: ScalarValue>(_ type: T.Type) -> T {
    let node = Node(.bound("c\(bound.count)"), T.sort)
    bound.append(node)
    return T(node: node)
  }
  let condition = body(repeat variable((each A).self)).node
  return Word(node: Node(.count, S.sort, bound + [condition]))
}

/// `cardinality` over the values of one key.
public func cardinality<Key: TableKey, S: WordSort>(
  over key: Key.Type, as type: Word<S>.Type = Word<S>.self, _ body: (Key) -> Bit
) -> Word<S> {
  let bound = Key.sorts.enumerated().map { Node(.bound("c\($0.offset)"), $0.element) }
  return Word(node: Node(.count, S.sort, bound + [body(Key(keyNodes: bound)).node]))
}
