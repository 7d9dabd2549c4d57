#include "protocol/postgres/sql_kind.h"

#include <utility>

namespace weir::postgres {

void SqlKind::OnLiteral() {
  switch (list_) {
    case List::kLiteralComma:
      list_ = List::kLiteral;
      return;
    case List::kFirstComma:
      list_ = List::kFirst;
      return;
    case List::kListCommaOpen:
    case List::kNextComma:
      list_ = List::kNext;
      return;
    case List::kOpen:
      Mix(kLiteralMark, 0);
      list_ = List::kFirst;
      return;
    case List::kNone:
    case List::kEnded:
    case List::kLiteral:
    case List::kFirst:
    case List::kList:
    case List::kListComma:
    case List::kNext:
      TakeBack();
      Mix(kLiteralMark, 0);
      list_ = List::kLiteral;
      return;
  }
}

void SqlKind::OnSymbol(char symbol) {
  const List list = list_;
  switch (symbol) {
    case '+':
    case '-':
      if (operand_) return;
      break;
    case ';':
      if (list != List::kEnded) TakeBack();
      list_ = List::kEnded;
      operand_ = true;
      return;
    case ',':
      operand_ = true;
      if (list == List::kLiteral) list_ = List::kLiteralComma;
      if (list == List::kFirst) list_ = List::kFirstComma;
      if (list == List::kList) list_ = List::kListComma;
      if (list == List::kNext) list_ = List::kNextComma;
      if (list_ != list) return;
      break;
    case '(':
      operand_ = true;
      if (list == List::kListComma) {
        list_ = List::kListCommaOpen;
        return;
      }
      TakeBack();
      MixSymbol(symbol);
      list_ = List::kOpen;
      return;
    case ')':
      operand_ = false;
      if (list != List::kFirst && list != List::kNext) break;
      if (list == List::kFirst) MixSymbol(symbol);
      list_ = List::kList;
      return;
    default:
      break;
  }
  operand_ = symbol != ')' && symbol != ']';
  TakeBack();
  MixSymbol(symbol);
}

// What comes next is something else: what was held back counts.
void SqlKind::TakeBack() {
  const List list = std::exchange(list_, List::kNone);
  switch (list) {
    case List::kNone:
    case List::kOpen:
    case List::kLiteral:
    case List::kFirst:
    case List::kList:
      return;
    case List::kEnded:
      if (hash_ != 0) MixSymbol(';');
      return;
    case List::kLiteralComma:
    case List::kFirstComma:
    case List::kListComma:
      MixSymbol(',');
      return;
    case List::kListCommaOpen:
      MixSymbol(',');
      MixSymbol('(');
      return;
    case List::kNext:
    case List::kNextComma:
      MixSymbol(',');
      MixSymbol('(');
      Mix(kLiteralMark, 0);
      if (list == List::kNextComma) MixSymbol(',');
      return;
  }
}

}  // namespace weir::postgres
