// SPDX-License-Identifier: Apache-2.0

import Logic

/// Identifiers of a TLA+ module: letters, digits and underscores, none given twice (TLA+ lets nothing be redeclared, not
/// even by a bound variable), and none that the language or the modules extended have taken.
struct TLANames {
  private var taken: Set<String> = [
    "ASSUME", "ASSUMPTION", "AXIOM", "BOOLEAN", "BY", "CASE", "CHOOSE", "CONSTANT", "CONSTANTS", "DEF",
    "DEFINE",
    "DEFS", "DOMAIN", "ELSE", "ENABLED", "EXCEPT", "EXTENDS", "FALSE", "HAVE", "HIDE", "IF", "IN", "INSTANCE",
    "LAMBDA", "LEMMA", "LET", "LOCAL", "MODULE", "NEW", "OBVIOUS", "OMITTED", "ONLY", "OTHER", "PICK",
    "PROOF",
    "PROPOSITION", "PROVE", "QED", "RECURSIVE", "SF_", "STATE", "STRING", "SUBSET", "SUFFICES", "TAKE",
    "TEMPORAL",
    "THEN", "THEOREM", "TRUE", "UNCHANGED", "UNION", "USE", "VARIABLE", "VARIABLES", "WF_", "WITH", "WITNESS",
    // Naturals, FiniteSets.
    "Nat", "Cardinality", "IsFiniteSet",
    // This module's own.
    "Init", "Next", "Spec", "TypeOK", "vars", "BitAnd", "BitOr", "BitXor",
  ]

  /// An identifier like `wanted` that is new.
  mutating func new(_ wanted: String) -> String {
    var name = String(wanted.map { $0.isASCII && ($0.isLetter || $0.isNumber) ? $0 : "_" })
    while name.hasPrefix("_") { name.removeFirst() }
    // A name needs a letter; WF_ and SF_ begin something else.
    if !name.contains(where: \.isLetter) || name.hasPrefix("WF_") || name.hasPrefix("SF_") {
      name = "n" + name
    }
    var attempt = name
    var number = 1
    while !taken.insert(attempt).inserted {
      number += 1
      attempt = "\(name)_\(number)"
    }
    return attempt
  }

  /// "no side sleeps on work" as NoSideSleepsOnWork.
  mutating func new(sentence: String) -> String {
    let words = sentence.split { !($0.isASCII && ($0.isLetter || $0.isNumber)) }
    return new(words.map { $0.prefix(1).uppercased() + $0.dropFirst() }.joined())
  }
}
