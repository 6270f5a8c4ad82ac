# Blanks out comments and the insides of string and character literals of C source, keeping line numbers, so that checks
# with patterns see code only: FILE goes to the variable to/FILE. SPDX-License-Identifier: Apache-2.0
FNR == 1 {
    if (name) close(name)
    name = to "/" FILENAME
    state = "code"
}
{
    out = ""
    n = length($0)
    for (i = 1; i <= n; i++) {
        c = substr($0, i, 1)
        two = substr($0, i, 2)
        if (state == "block") {
            if (two == "*/") { state = "code"; i++ }
            continue
        }
        if (state == "string" || state == "char") {
            if (c == "\\") { i++; continue }
            if ((state == "string" && c == "\"") || (state == "char" && c == "'")) { state = "code"; out = out c }
            continue
        }
        if (two == "//") break
        if (two == "/*") { state = "block"; i++; out = out " "; continue }
        if (c == "\"") state = "string"
        else if (c == "'") state = "char"
        out = out c
    }
    if (state != "block") state = "code"
    print out > name
}
