"""What wrong texts get: one error, with its place, in the user's words."""

import random
import traceback

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.fuzzing import MINUTES
from helpers.mutations import VALID, check_outcome, mutated_text, place_in, refusal, words_of
from neuromorph.errors import MDLError, MDLSemanticError, MDLSyntaxError
from neuromorph.language import parse

MEBIBYTE = 2**20
MUTATED = 100_000 if MINUTES else 10_000  # texts

SYNTAX = [
    # text, line, column, what the reason says
    (
        "",
        1,
        1,
        "expected '/', found the end of the text; a model begins with its header, such as /xavier,zero/",
    ),
    ("\n\n # nothing\n ", 4, 2, "expected '/', found the end of the text"),
    ("(a,4)", 1, 1, "expected '/', found '('; a model begins with its header"),
    ("/", 1, 2, "expected a name, found the end of the text; '/' opened at line 1, column 1 is not closed"),
    ("//", 1, 2, "expected a name, found '/'"),
    (
        "/a/(c,4)",
        1,
        3,
        "expected ',' or a number, found '/'; a header has two initialisers, first for weights",
    ),
    (
        "/a,b",
        1,
        5,
        "expected '/' or a number, found the end of the text; '/' opened at line 1, column 1 is not",
    ),
    ("/a,b,c/(d,4)", 1, 5, "expected '/' or a number, found ','; a header has two initialisers"),
    ("/u 1 2 3,b/(c,4)", 1, 8, "expected ',', found the number '3'; an initialiser has at most two numbers"),
    ("/a,u 1 2 3/(c,4)", 1, 10, "expected '/', found the number '3'; an initialiser has at most two numbers"),
    (
        "/u 0, 1, z/(c,4)",
        1,
        7,
        "expected a name, found the number '1'; the numbers of an initialiser are separated",
    ),
    ("/a,b/", 1, 6, "expected '(', '<', '[' or '{', found the end of the text"),
    ("/a,b/\n", 2, 1, "expected '(', '<', '[' or '{', found the end of the text"),
    ("/a,b/(c,4)\n/d,e/", 2, 1, "a model has one header, at its beginning"),
    ("/a,b/[s,(c,4)/d,e/]", 1, 14, "expected '(', '[', ']', '{' or '|', found '/'; a model has one header"),
    ("/a,b/(c,4) d", 1, 12, "expected '(', '[', '{' or the end of the text, found the name 'd'"),
    ("/a,b/(c,4))", 1, 11, "expected '(', '[', '{' or the end of the text, found ')'"),
    ("/a,b/(c)", 1, 8, "expected ',', found ')'"),
    ("/a,b/(c 4)", 1, 9, "expected ',', found the number '4'"),
    ("/a,b/(c,)", 1, 9, "expected '<' or a number, found ')'"),
    ("/a,b/(4,4)", 1, 7, "expected a name, found the number '4'"),
    (
        "/a,b/(c,4,tanh)",
        1,
        11,
        "expected '/' or '<', found the name 'tanh'; a function stands in angle brackets, such as <tanh>",
    ),
    ("/a,b/(c,4,<f>,<g>,<h>)", 1, 19, "expected '/', found '<'"),
    ("/a,b/(c,4,<f>,<g>,/x,y/,<h>)", 1, 24, "expected ')', found ','"),
    ("/a,b/(c,<f>,<g>)", 1, 13, "expected '/', found '<'; only a layer with a width can have a loss"),
    ("/a,b/(c,4,<f> /x,y/)", 1, 15, "expected ')' or ',', found '/'; a layer's own initialisers stand last, after a"),
    ("/a,b/(c,4,<f>,/x,y,z/)", 1, 19, "expected '/' or a number, found ','; a layer's own initialisers are two"),
    ("/a,b/(c,4,<f>,/x/)", 1, 17, "expected ',' or a number, found '/'; a layer's own initialisers are two, first"),
    ("/a,b/(c,4,<f>,/x,u 1 2 3/)", 1, 24, "expected '/', found the number '3'; an initialiser has at most two"),
    ("/a,b/(c,4,<f>,/x", 1, 17, "expected ',' or a number, found the end of the text; '/' opened at line 1, column 15"),
    ("/a,b/(c,4,<f)", 1, 13, "expected ',' or '>', found ')'; '<' opened at line 1, column 11 is not closed"),
    ("/a,b/(c,4,<f,>)", 1, 14, "expected a number, found '>'"),
    ("/a,b/(c,4,<f,1,2,3>)", 1, 17, "expected '>', found ','; a function has at most two numbers"),
    ("/a,b/(c,4,<f 1>)", 1, 14, "expected ',' or '>', found the number '1'; a comma stands before a number, such as"),
    ("/a,b/(c,4,<f,g 1>)", 1, 14, "expected a number, found the name 'g'; outside definitions a function or cell gets"),
    ("/a,b/<d>[(c,<f>)|(d,<f>)]", 1, 17, "found '|'; a '|' stands only between the branches of a split, [name, … | …]"),
    (
        "/a,b/(c,4\n(d,4)",
        2,
        1,
        "expected ')' or ',', found '('; '(' opened at line 1, column 6 is not closed",
    ),
    ("/a,b/(c,4]", 1, 10, "expected ')' or ',', found ']'; '(' opened at line 1, column 6 is not closed"),
    (
        "/a,b/\r\n[s, (c,4)\r|",
        3,
        2,
        "found the end of the text; '[' opened at line 2, column 1 is not closed",
    ),
    ("/a,b/[s]", 1, 8, "expected ',', found ']'"),
    ("/a,b/[s,,]", 1, 9, "expected '(', '[', ']', '{' or '|', found ','"),
    ("/a,b/{m,o}", 1, 10, "expected ',', found '}'"),
    (
        "/a,b/{m,o,p",
        1,
        12,
        "expected ',' or '}', found the end of the text; '{' opened at line 1, column 6 is not closed",
    ),
    ("/a,b/{m,4,p}", 1, 9, "expected a name, found the number '4'"),
    ("/a,b/{m,o,p,q}", 1, 13, "expected a number, found the name 'q'"),
    ("/a,b/{m,o,p,1,2}", 1, 14, "expected '}', found ','"),
    ("/a,b/{m,o,p,2.0}", 1, 13, "the number of steps back is digits only, found '2.0'; write 2"),
    ("/a,b/{m,o,p,+2}", 1, 13, "the number of steps back is digits only, found '+2'; write 2"),
    ("/a,b/{m,o,p,1e1}", 1, 13, "the number of steps back is digits only, found '1e1'; write 10"),
    ("/a,b/{m,o,p,-1}", 1, 13, "the number of steps back is digits only, found '-1'"),
    ("/a,b/(c,w)", 1, 9, "expected '<' or a number, found the name 'w'; a function stands in angle brackets"),
    ("/a,b/(c,4,<f,w>)", 1, 14, "expected a number, found the name 'w'"),
    ("/a w,b/(c,4)", 1, 4, "expected ',' or a number, found the name 'w'"),
    ("/a,b/(c,4)<d>[", 1, 11, "expected '(', '[', '{' or the end of the text, found '<'; definitions stand before"),
    ("/a,b/<d>(c,4)", 1, 9, "expected '[', found '('; a definition has nodes in brackets, such as <own>[(a, width,"),
    ("/a,b/<d> <e>[(c,<f>)]", 1, 10, "expected '[', found '<'; a definition has nodes in brackets"),
    ("/a,b/<d>[]", 1, 10, "expected '(', '[' or '{', found ']'; a definition has at least one node"),
    ("/a,b/<d>[(c,<f>)|(e,<f>)]", 1, 17, "expected '(', '[', ']' or '{', found '|'"),
    ("/a,b/<d,1>[", 1, 9, "expected a name, found the number '1'"),
    ("/a,b/<d,x 1 2>[", 1, 13, "expected ',' or '>', found the number '2'"),
    ("/a,b/<d,x,y,z>[", 1, 12, "expected '>' or a number, found ','; a definition has at most two parameters"),
    ("/a,b/<d>[(c,<f>)](e,f)", 1, 21, "expected '<' or a number, found the name 'f'"),
    ("/a,b/<d,x>[(c,<f,x>", 1, 20, "expected ')' or ',', found the end of the text"),
    ("/a,b/(c,4.5.6)", 1, 9, "'4.5.6' is not a number"),
    ("/a,b/(c,1e)", 1, 9, "'1e' is not a number"),
    ("/a,b/(c,4+5)", 1, 9, "'4+5' is not a number"),
    ("/a 1-2,b/(c,4)", 1, 4, "'1-2' is not a number"),
    ("/a,b/(c,4x)", 1, 9, "'4x' is not a number"),
    ("/a,b/(c,4_000)", 1, 9, "'4_000' is not a number"),
    ("/a,b/(c,0x10)", 1, 9, "'0x10' is not a number"),
    ("/a,b/(c,..5)", 1, 9, "'.' begins neither a name nor a number"),
    ("/a,b/(c,- 4)", 1, 9, "'-' begins neither a name nor a number"),
    ("/a 1e999,b/(c,4)", 1, 4, "the number '1e999' is too large"),
    ("/a -1e999,b/(c,4)", 1, 4, "the number '-1e999' is too large"),
    ("/a,b/(c," + "9" * 5000 + ")", 1, 9, "999…' is too large"),
    ("/a,b/(c,+4)", 1, 9, "a width is digits only, found '+4'; write 4"),
    ("/a,b/(c,-4)", 1, 9, "a width is digits only, found '-4'"),
    ("/a,b/(c,4.)", 1, 9, "a width is digits only, found '4.'; write 4"),
    ("/a,b/(c,4e0)", 1, 9, "a width is digits only, found '4e0'; write 4"),
    ("/a,b/(c,4.5)", 1, 9, "a width is digits only, found '4.5'"),
    ("/a,b/(" + "n" * 256 + ",4)", 1, 7, "the name is too long: 256 characters, at most 255 are allowed"),
    ("/a,b/(c,4)\n\t(é,4)", 2, 3, "the character 'é' (U+00E9) is not ASCII: it may stand only in a comment"),
    ("/a,b/(c,٤)", 1, 9, "the character '٤' (U+0664) is not ASCII"),
    ("/a,b/(c\xa0,4)", 1, 8, "the character U+00A0 is not ASCII"),
    ("/a,b/(c,\ud800)", 1, 9, "the character U+D800 is not ASCII"),
    ("/a,b/\x00(c,4)", 1, 6, "the control character U+0000 is not part of the language"),
    ("/a,b/\x0c(c,4)", 1, 6, "the control character U+000C is not part of the language"),
    (
        "\ufeff/a,b/(c,4)",
        1,
        1,
        "a byte order mark (U+FEFF) is not part of the language: read the file with encoding=",
    ),
    ("/a,b/(c=4)", 1, 8, "the character '=' is not part of the language"),
]

SEMANTIC = [
    ("/a,b/(c,0)", 1, 9, "a width is from 1 to 1,048,576, found '0'"),
    ("/a,b/(c,0000)", 1, 9, "a width is from 1 to 1,048,576, found '0000'"),
    ("/a,b/(c,1048577)", 1, 9, "a width is from 1 to 1,048,576, found '1048577'"),
    ("/a,b/{m,o,p,4097}", 1, 13, "the number of steps back is from 0 to 4,096, found '4097'"),
    ("/a,b/(c,4,/a,b/)", 1, 11, "'c' has no activation, so it is an input: an input has no parameters to initialise"),
    ("/a,b/<d,rate>[(c,<f,rat>)]", 1, 21, "the definition of 'd' has no parameter 'rat': did you mean 'rate'?"),
    ("/a,b/<d,rate>[(c,<f,zzz>)]", 1, 21, "no parameter 'zzz'; a name that can stand here is 'rate'"),
    ("/a,b/<d,x>[(c,widht,<f>)]", 1, 15, "the definition of 'd' has no parameter 'widht': did you mean 'width'?"),
    ("/a,b/<d>[{m,o,p,k}]", 1, 17, "the definition of 'd' has no parameter 'k'"),
    ("/a,b/<d>[(c,<f>,/u lo,z/)]", 1, 20, "the definition of 'd' has no parameter 'lo'"),
    ("/a,b/<d>[(c,<f,width>)]", 1, 16, "'width' stands where a number belongs: it can stand only where a width does"),
    ("/a,b/<d,x,x>[", 1, 11, "a second parameter is called 'x'"),
    ("/a,b/<d,width 1>[", 1, 9, "'width' is the width of each use already: a parameter needs another name"),
    ("/a,b/<d>[" + "[s," * 100 + "]" * 101, 1, 307, "splits are nested too deep: at most 100 '[' may be open"),
    ("/a,b/<d>[(c,<f>)]\n" + "(c,1)\n" * 10_000, 10_001, 1, "the model has too many nodes: at most 10,000 are"),
    ("/a,b/(c,4)\n(d," + "9" * 300 + ",<f>)", 2, 4, "a width is from 1 to 1,048,576"),
    ("/a,b/" + "[s," * 101 + "]" * 101, 1, 306, "splits are nested too deep: at most 100 '[' may be open"),
    ("/a,b/[s,|\n" + "|" * 1_000_000 + "]", 2, 100_000, "too many branches: at most 100,000 '|' are allowed"),
    (f"/a,b/{f'[s,{chr(124) * 20}]' * 5_000}\n[s,|]", 2, 4, "the model has too many branches: at most 100,000"),
    ("/a,b/" + "(c,1)\n" * 10_001, 10_001, 1, "the model has too many nodes: at most 10,000 are allowed"),
    (
        "/a,b/(c,1)" + " " * (MEBIBYTE - 9),
        1,
        MEBIBYTE + 1,
        "the text is too long: a model description has at most",
    ),
    ("/a,b/(c,1)\n#" + "é" * (MEBIBYTE // 2), 2, MEBIBYTE // 2 - 5 + 1, "the text is too long"),
]


def error_of(text):
    with pytest.raises(MDLError) as caught:
        parse(text, "net.mdl")
    return caught.value


@pytest.mark.parametrize(("text", "line", "column", "fragment"), SYNTAX)
def test_syntax_errors(text, line, column, fragment):
    error = error_of(text)
    assert type(error) is MDLSyntaxError
    assert (error.line, error.column, error.filename) == (line, column, "net.mdl")
    assert fragment in error.reason


@pytest.mark.parametrize(("text", "line", "column", "fragment"), SEMANTIC, ids=range(len(SEMANTIC)))
def test_limits(text, line, column, fragment):
    error = error_of(text)
    assert type(error) is MDLSemanticError
    assert (error.line, error.column, error.filename) == (line, column, "net.mdl")
    assert fragment in error.reason


@pytest.mark.parametrize(
    "text",
    [
        "/a,b/" + "[s," * 100 + "]" * 100,
        "/a,b/" + ("[s," * 100 + "]" * 100) * 100,
        "/a,b/" + "(c,1)" * 10_000,
        "/a,b/<d>[(c,<f>)]" + "(c,1)" * 9_999,
        "/a,b/[s," + "|" * 100_000 + "]",
        "/a,b/(c,1)" + " " * (MEBIBYTE - 10),
        "/a,b/(c,1)#" + "é" * ((MEBIBYTE - 11) // 2),
    ],
    ids=["nesting", "nesting many times", "nodes", "nodes and a definition", "branches", "bytes", "bytes of a comment"],
)
def test_up_to_its_limits_a_text_is_fine(text):
    assert parse(text).nodes


def test_the_whole_message():
    assert str(error_of("/a,b/\n\t(c, 4, <tanh>\n\t(d, 4)")) == (
        "net.mdl:3:2: expected ')' or ',', found '('; '(' opened at line 2, column 2 is not closed\n  \t(d, 4)\n  \t^"
    )


def test_a_long_token_is_quoted_only_in_part():
    assert len(str(error_of("/a,b/(c,4) " + "n" * 255))) < 400


def test_the_traceback_does_not_lead_through_the_parser():
    frames = traceback.extract_tb(error_of("/a,b/(c").__traceback__)
    assert [frame.name for frame in frames] == ["error_of", "parse"]


ONE_LINERS = [text for text, *_, fragment in SYNTAX if "expected" in fragment and not set("\r\n") & set(text)]
TOKENS = {"a name": "x", "a number": "7"} | {f"'{character}'": character for character in "/()[]{}<>,|"}


@pytest.mark.parametrize("text", ONE_LINERS)
def test_what_was_expected_is_exactly_what_would_have_been_accepted(text):
    error = error_of(text)
    before = text[: error.column - 1] + " "
    accepted = [word for word, token in TOKENS.items() if column_of_error(before + token) != len(before) + 1]
    if column_of_error(before) is None:
        accepted.append("the end of the text")
    words = sorted(accepted)
    listed = " or ".join([", ".join(words[:-1]), words[-1]] if words[1:] else words)
    assert error.reason.startswith(f"expected {listed}, found ")


def column_of_error(text):
    try:
        parse(text)
    except MDLError as error:
        return error.column
    return None


def test_mutated_texts_get_a_model_or_an_error_with_a_place():
    draw = random.Random(20240229)
    texts = (mutated_text(draw.choice(VALID), draw) for _ in range(MUTATED))
    assert 0.05 < sum(check_outcome(text) is not None for text in texts) / MUTATED < 0.95


# Mistakes at known places. Whatever stands before a word of these texts is the beginning of a right text.
WORDS = [(text, start, end) for text in VALID for start, end in words_of(text)]


@pytest.mark.parametrize("character", "=é\x00٤")
def test_a_character_that_is_not_of_the_language_is_refused_where_it_stands(character):
    for text, start, _ in WORDS:
        error = refusal(f"{text[:start]}{character}{text[start:]}")
        assert (error.line, error.column) == place_in(text, start)


def test_a_text_that_breaks_off_is_refused_at_its_end():
    errors = [(place_in(text, start), refusal(text[:start])) for text, start, _ in WORDS]
    found = [(place, (error.line, error.column)) for place, error in errors if error is not None]
    assert all(place == said for place, said in found)
    assert len(found) > 0.8 * len(WORDS)


@pytest.mark.parametrize("word", [*"/()[]{}<>,|", "x", "7", ""], ids=lambda word: word or "none")
def test_a_word_too_many_or_too_few_is_refused_at_that_place_or_behind_it(word):
    here = 0
    for text, start, end in WORDS:
        wrong = f"{text[:start]} {word} {text[start if word else end :]}"
        error, place = check_outcome(wrong), place_in(wrong, start + 1)
        if error is not None:
            assert (error.line, error.column) >= place, wrong
            here += (error.line, error.column) == place
    assert here > 0.3 * len(WORDS) or not word


def test_a_number_that_is_too_large_is_refused_where_it_stands():
    numbers = [(text, start, end) for text, start, end in WORDS if text[start] in "+-.0123456789"]
    for text, start, end in numbers:
        error = refusal(f"{text[:start]}1e999{text[end:]}")
        assert (error.line, error.column) == place_in(text, start)
    assert len(numbers) > 40


@settings(max_examples=200, deadline=None)
@given(st.text() | st.text("/ab1.,()[]{}<>|#+-e \n") | st.binary().map(lambda data: data.decode("latin-1")))
def test_any_text_gets_a_model_or_an_error_with_a_place(text):
    check_outcome(text)
    check_outcome(f"/a,b/{text}")


@pytest.mark.parametrize(
    "piece", ["[", "(", "{", "<", "/", ")", "]", "|", "#", "\x00", "+", ".", "1", "a", "[s,", "\r"]
)
def test_a_piece_many_thousand_times_over(piece):
    check_outcome(piece * 50_000)
    check_outcome(f"/a,b/(c,4){piece * 50_000}")
