// SPDX-License-Identifier: Apache-2.0
//
// A reader of the part of TLA+ that is exported. It knows the language and nothing of the writer: where the text leaves
// it to precedence which operator binds tighter, it refuses.

/// An expression, names resolved to numbers.
indirect enum TLATerm {
  case bool(Bool)
  case number(Int)
  case string(String)
  case name(Int)
  /// The value after the step.
  case primed(Int)
  case apply(Int, [TLATerm])
  case not(TLATerm)
  case and([TLATerm])
  case or([TLATerm])
  case binary(String, TLATerm, TLATerm)
  case ifThenElse(TLATerm, TLATerm, TLATerm)
  case letIn([(name: Int, value: TLATerm)], TLATerm)
  case all([(name: Int, set: TLATerm)], TLATerm)
  case exists([(name: Int, set: TLATerm)], TLATerm)
  case function([(name: Int, set: TLATerm)], TLATerm)
  case entry(TLATerm, [TLATerm])
  case except(TLATerm, [TLATerm], TLATerm)
  case set([TLATerm])
  /// {<<a, b>> \in A \X B : p}
  case subset([(name: Int, set: TLATerm)], TLATerm)
  case cardinality(TLATerm)
  case booleans
  case functions([TLATerm], TLATerm)
  case unchanged([Int])
  case tuple([TLATerm])
}

struct TLAError: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}

/// A module: definitions by name.
struct TLAModuleText {
  struct Definition {
    let parameters: [Int]
    let body: TLATerm
  }
  private(set) var names: [String] = []
  private var numbers: [String: Int] = [:]
  private(set) var variables: [Int] = []
  private(set) var definitions: [Int: Definition] = [:]
  private(set) var order: [Int] = []

  init(_ text: String) throws {
    for unit in Self.units(of: text) {
      var parser = Parser(tokens: try Self.tokens(of: unit), module: self)
      try parser.unit()
      self = parser.module
    }
  }

  func number(of name: String) -> Int? { numbers[name] }

  fileprivate mutating func number(_ name: String) -> Int {
    if let known = numbers[name] { return known }
    numbers[name] = names.count
    names.append(name)
    return names.count - 1
  }

  fileprivate mutating func define(_ name: Int, _ definition: Definition) throws {
    guard definitions[name] == nil, !variables.contains(name) else {
      throw TLAError("\(names[name]) is defined twice")
    }
    definitions[name] = definition
    order.append(name)
  }

  fileprivate mutating func declare(_ name: Int) { variables.append(name) }

  /// What begins in the first column goes on until something else does.
  private static func units(of text: String) -> [String] {
    var units: [String] = []
    for line in text.split(separator: "\n", omittingEmptySubsequences: true) {
      if line.hasPrefix("\\*") || line.hasPrefix("----") || line.hasPrefix("====") { continue }
      if line.hasPrefix(" ") {
        units[units.count - 1] += "\n" + line
      } else {
        units.append(String(line))
      }
    }
    return units
  }

  private static let symbols = [
    "|->", "->", "==", "<<", ">>", "<=", "..", "/\\", "\\/", "\\in", "\\A", "\\E", "\\X", "\\div", "[]", "=",
    "<",
    "%", "+", "-", "*", "(", ")", "[", "]", "{", "}", ",", ":", "!", "'", "~",
  ]

  private static func tokens(of unit: String) throws -> [String] {
    var tokens: [String] = []
    var rest = Substring(unit)
    func isWord(_ character: Character) -> Bool {
      character.isASCII && (character.isLetter || character.isNumber || character == "_")
    }
    while let first = rest.first {
      if first.isWhitespace {
        rest.removeFirst()
      } else if isWord(first) {
        let word = rest.prefix(while: isWord)
        tokens.append(String(word))
        rest.removeFirst(word.count)
      } else if first == "\"" {
        let inside = rest.dropFirst().prefix { $0 != "\"" }
        tokens.append("\"" + inside)
        rest.removeFirst(inside.count + 2)
      } else if let symbol = symbols.first(where: { rest.hasPrefix($0) }) {
        tokens.append(symbol)
        rest.removeFirst(symbol.count)
      } else {
        throw TLAError("what is \(rest.prefix(20))?")
      }
    }
    return tokens
  }

  // MARK: Parsing

  private struct Parser {
    let tokens: [String]
    var module: TLAModuleText
    var position = 0

    init(tokens: [String], module: TLAModuleText) {
      self.tokens = tokens
      self.module = module
    }

    private var next: String { position < tokens.count ? tokens[position] : "" }

    private mutating func take() -> String {
      defer { position += 1 }
      return next
    }
    private mutating func take(if token: String) -> Bool {
      guard next == token else { return false }
      position += 1
      return true
    }
    private mutating func expect(_ token: String) throws {
      guard take(if: token) else {
        throw TLAError("\(token) expected before \(tokens[position...].prefix(12).joined(separator: " "))")
      }
    }
    private mutating func name() throws -> Int {
      guard let first = next.first, first.isLetter else { throw TLAError("a name expected, not \(next)") }
      return module.number(take())
    }

    mutating func unit() throws {
      switch next {
      case "EXTENDS", "RECURSIVE": return
      case "VARIABLES":
        _ = take()
        repeat { module.declare(try name()) } while take(if: ",")
      default:
        let title = try name()
        // Of temporal formulas, TLC reads this one, and the other lines say the same.
        if module.names[title] == "Spec" { return }
        var parameters: [Int] = []
        if take(if: "(") {
          repeat { parameters.append(try name()) } while take(if: ",")
          try expect(")")
        }
        try expect("==")
        try module.define(title, Definition(parameters: parameters, body: try expression()))
      }
      guard position == tokens.count else { throw TLAError("\(tokens[position...].prefix(12)) is left over") }
    }

    /// A list of conditions (each after its symbol), or one operator between two terms, or a term.
    private mutating func expression() throws -> TLATerm {
      let leading = next == "/\\" || next == "\\/" ? take() : nil
      let first = try term()
      if leading != nil || next == "/\\" || next == "\\/" {
        let symbol = leading ?? next
        var parts = [leading == nil ? first : try relation(first)]
        while take(if: symbol) { parts.append(leading == nil ? try term() : try relation(try term())) }
        guard next != "/\\", next != "\\/" else { throw TLAError("/\\ and \\/ without parentheses") }
        return symbol == "/\\" ? .and(parts) : .or(parts)
      }
      return try relation(first)
    }

    private mutating func relation(_ left: TLATerm) throws -> TLATerm {
      guard ["=", "<", "<=", "+", "-", "*", "%", "\\div", "\\in", ".."].contains(next) else { return left }
      let symbol = take()
      return .binary(symbol, left, try term())
    }

    private mutating func ranges() throws -> [(name: Int, set: TLATerm)] {
      var ranges: [(name: Int, set: TLATerm)] = []
      repeat {
        let variable = try name()
        try expect("\\in")
        ranges.append((variable, try term()))
      } while take(if: ",")
      return ranges
    }

    private mutating func list(until end: String) throws -> [TLATerm] {
      var items: [TLATerm] = []
      if take(if: end) { return items }
      repeat { items.append(try expression()) } while take(if: ",")
      try expect(end)
      return items
    }

    /// A term with what is applied to it.
    private mutating func term() throws -> TLATerm {
      if take(if: "~") { return .not(try term()) }
      var result = try primary()
      while next == "[" {
        _ = take()
        result = .entry(result, try list(until: "]"))
      }
      return result
    }

    private mutating func primary() throws -> TLATerm {
      let token = next
      if let first = token.first, first.isNumber { return .number(Int(take()) ?? -1) }
      if token.hasPrefix("\"") { return .string(String(take().dropFirst())) }
      switch token {
      case "(":
        _ = take()
        let inside = try expression()
        try expect(")")
        return inside
      case "[": return try bracket()
      case "{": return try brace()
      case "<<":
        _ = take()
        return .tuple(try list(until: ">>"))
      case "\\A", "\\E":
        _ = take()
        let bound = try ranges()
        try expect(":")
        let body = try expression()
        return token == "\\A" ? .all(bound, body) : .exists(bound, body)
      case "IF":
        _ = take()
        let condition = try expression()
        try expect("THEN")
        let then = try expression()
        try expect("ELSE")
        return .ifThenElse(condition, then, try expression())
      case "LET":
        _ = take()
        var definitions: [(name: Int, value: TLATerm)] = []
        while next != "IN" {
          let title = try name()
          try expect("==")
          definitions.append((title, try expression()))
        }
        _ = take()
        return .letIn(definitions, try expression())
      case "TRUE", "FALSE": return .bool(take() == "TRUE")
      case "BOOLEAN":
        _ = take()
        return .booleans
      case "UNCHANGED":
        _ = take()
        try expect("<<")
        var unchanged: [Int] = []
        repeat { unchanged.append(try name()) } while take(if: ",")
        try expect(">>")
        return .unchanged(unchanged)
      case "Cardinality":
        _ = take()
        try expect("(")
        let set = try expression()
        try expect(")")
        return .cardinality(set)
      default:
        let variable = try name()
        if take(if: "'") { return .primed(variable) }
        return take(if: "(") ? .apply(variable, try list(until: ")")) : .name(variable)
      }
    }

    /// [f EXCEPT ![k] = v], [k \in S |-> e], [S -> T].
    private mutating func bracket() throws -> TLATerm {
      try expect("[")
      let start = position
      let first = try term()
      if take(if: "EXCEPT") {
        try expect("!")
        try expect("[")
        let keys = try list(until: "]")
        try expect("=")
        let value = try expression()
        try expect("]")
        return .except(first, keys, value)
      }
      if next == "\\in" {
        position = start
        let bound = try ranges()
        try expect("|->")
        let body = try expression()
        try expect("]")
        return .function(bound, body)
      }
      var keys = [first]
      while take(if: "\\X") { keys.append(try term()) }
      try expect("->")
      let values = try term()
      try expect("]")
      return .functions(keys, values)
    }

    /// {a, b}, {x \in S : p}, {<<x, y>> \in S \X T : p}.
    private mutating func brace() throws -> TLATerm {
      try expect("{")
      let start = position
      if take(if: "<<") {
        var variables: [Int] = []
        repeat { variables.append(try name()) } while take(if: ",")
        try expect(">>")
        try expect("\\in")
        var sets = [try term()]
        while take(if: "\\X") { sets.append(try term()) }
        guard sets.count == variables.count else { throw TLAError("a pair of three") }
        try expect(":")
        let body = try expression()
        try expect("}")
        return .subset(Array(zip(variables, sets)).map { ($0.0, $0.1) }, body)
      }
      if position + 1 < tokens.count, tokens[position + 1] == "\\in" {
        position = start
        let bound = try ranges()
        try expect(":")
        let body = try expression()
        try expect("}")
        return .subset(bound, body)
      }
      return .set(try list(until: "}"))
    }
  }
}
