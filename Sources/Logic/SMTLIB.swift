// SPDX-License-Identifier: Apache-2.0
//
// SMT-LIB 2 text of an obligation, printed from our own graph: what the second solver reads, and what is hashed.

/// A condition of an obligation, and where it comes from.
public struct Assertion: Sendable, Hashable {
  public let term: TermID
  /// What a reader of the text is told: a guard, the name of an invariant.
  public let origin: String

  public init(_ term: TermID, _ origin: String) {
    self.term = term
    self.origin = origin
  }
}

extension Elaborator {
  /// The terms reachable from `roots`, operands before what they are operands of.
  public func reachable(from roots: [TermID]) -> [TermID] {
    guard let last = roots.map(\.index).max() else { return [] }
    var isReachable = [Bool](repeating: false, count: Int(last) + 1)
    for root in roots { isReachable[Int(root.index)] = true }
    var count = 0
    // An operand is older, and so has the smaller index, than what it is an operand of.
    for index in stride(from: Int(last), through: 0, by: -1) where isReachable[index] {
      count += 1
      for operand in terms[index].operands { isReachable[Int(operand.index)] = true }
    }
    var result: [TermID] = []
    result.reserveCapacity(count)
    for index in isReachable.indices where isReachable[index] { result.append(TermID(index)) }
    return result
  }

  /// The conjunction of `assertions` as a self-contained SMT-LIB 2 script that asks whether it can hold.
  ///
  /// The text depends on the terms alone, not on when they were made: the same obligation has the same text.
  /// - Parameter title: lines of a comment at the top.
  public func smtLIB(_ assertions: [Assertion], title: [String] = []) -> String {
    var printer = SMTLIBPrinter(self, assertions)
    return printer.script(title: title)
  }
}

/// Prints one script.
private struct SMTLIBPrinter {
  private let elaborator: Elaborator
  private let assertions: [Assertion]
  private let terms: [TermID]
  /// How each reachable term is written where it is used, by the term's index.
  private var spelling: [String]
  private var text = ""
  private var names: Set<String> = []

  init(_ elaborator: Elaborator, _ assertions: [Assertion]) {
    self.elaborator = elaborator
    self.assertions = assertions
    terms = elaborator.reachable(from: assertions.map(\.term))
    spelling = [String](repeating: "", count: (terms.last.map { Int($0.index) } ?? -1) + 1)
  }

  mutating func script(title: [String]) -> String {
    text.reserveCapacity(64 * terms.count)
    for line in title { text += "; \(line.split(whereSeparator: \.isNewline).joined(separator: " "))\n" }
    text += "(set-logic QF_UFBV)\n"
    declareBases()
    defineShared()
    var origin = ""
    for assertion in assertions {
      if assertion.origin != origin {
        origin = assertion.origin
        text += "; \(origin)\n"
      }
      text += "(assert \(spelling[Int(assertion.term.index)]))\n"
    }
    text += "(check-sat)\n"
    return text
  }

  // MARK: Names

  /// Components and symbols, under their own names.
  private mutating func declareBases() {
    var functions: [Term.Operation: String] = [:]
    for id in terms {
      let term = elaborator[id]
      let sort = Self.sort(width: term.width, isBit: term.isBit)
      switch term.operation {
      case .scalar(let state, let component):
        spelling[Int(id.index)] = declare(name(component, state), keys: [], sort)
      case .symbol(let index):
        spelling[Int(id.index)] = declare(elaborator.symbols[index].name, keys: [], sort)
      case .entry(let state, let component):
        if functions[term.operation] == nil {
          functions[term.operation] = declare(
            name(component, state), keys: term.operands.map { sortName($0) }, sort)
        }
        spelling[Int(id.index)] = functions[term.operation] ?? ""
      default: break
      }
    }
  }

  private func name(_ component: Int, _ state: Int) -> String {
    let name = elaborator.specification.components[component].name
    return state == 0 ? name : "\(name)@\(state)"
  }

  /// Declares a function under a name that no other has; quoted, for it may be one of SMT-LIB's own words.
  private mutating func declare(_ wanted: String, keys: [String], _ sort: String) -> String {
    let printable = String(wanted.map { $0 == "|" || $0 == "\\" ? "_" : $0 })
    var plain = printable
    var attempt = 1
    while !names.insert(plain).inserted {
      attempt += 1
      plain = "\(printable)!\(attempt)"
    }
    let name = "|\(plain)|"
    text += "(declare-fun \(name) (\(keys.joined(separator: " "))) \(sort))\n"
    return name
  }

  private static func sort(width: Int, isBit: Bool) -> String { isBit ? "Bool" : "(_ BitVec \(width))" }

  private func sortName(_ id: TermID) -> String {
    Self.sort(width: elaborator[id].width, isBit: elaborator[id].isBit)
  }

  // MARK: Terms

  /// Writes every term, giving those used more than once a definition.
  private mutating func defineShared() {
    var uses = [Int](repeating: 0, count: spelling.count)
    for id in terms { for operand in elaborator[id].operands { uses[Int(operand.index)] += 1 } }
    for assertion in assertions { uses[Int(assertion.term.index)] += 1 }
    var definitions = 0
    for id in terms {
      let index = Int(id.index)
      let written = write(elaborator[id], spelling[index])
      if uses[index] > 1, !elaborator[id].operands.isEmpty {
        let name = "?\(definitions)"
        definitions += 1
        text += "(define-fun \(name) () \(sortName(id)) \(written))\n"
        spelling[index] = name
      } else {
        spelling[index] = written
      }
    }
  }

  private func write(_ term: Term, _ base: String) -> String {
    func apply(_ function: String) -> String {
      var result = "(" + function
      for operand in term.operands {
        result += " "
        result += spelling[Int(operand.index)]
      }
      return result + ")"
    }
    switch term.operation {
    case .constant(let value): return Self.constant(value, term)
    case .scalar, .symbol: return base
    case .entry: return apply(base)
    case .not: return apply("not")
    case .and: return apply("and")
    case .or: return apply("or")
    case .equal: return apply("=")
    case .lessThan: return apply("bvult")
    case .lessOrEqual: return apply("bvule")
    case .add: return apply("bvadd")
    case .subtract: return apply("bvsub")
    case .bitAnd: return apply("bvand")
    case .bitOr: return apply("bvor")
    case .bitXor: return apply("bvxor")
    case .ifThenElse: return apply("ite")
    case .resize:
      let from = elaborator[term.operands[0]].width
      return term.width > from
        ? apply("(_ zero_extend \(term.width - from))") : apply("(_ extract \(term.width - 1) 0)")
    }
  }

  private static func constant(_ value: UInt64, _ term: Term) -> String {
    if term.isBit { return value == 0 ? "false" : "true" }
    return "(_ bv\(value) \(term.width))"
  }
}
