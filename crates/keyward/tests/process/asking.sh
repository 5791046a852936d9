# How the scripts beside this one ask: with nothing but curl. MANAGE is the management API's URL, GATEWAY the gateway's.
set -euo pipefail

password="correct horse battery"

# ask TOKEN METHOD PATH [JSON]: the answer's body; anything but a 2xx ends the script.
ask() {
    local body=()
    [ $# -lt 4 ] || body=(--json "$4")
    curl --silent --show-error --fail-with-body --request "$2" --header "Authorization: Bearer $1" \
        ${body[@]+"${body[@]}"} "$MANAGE$3"
}

# open PATH JSON: the same for whoever is not known yet.
open() {
    curl --silent --show-error --fail-with-body --json "$2" "$MANAGE$1"
}

# first NAME: the first text member of this name in a JSON text.
first() {
    grep -o "\"$1\":\"[^\"]*\"" | head -n 1 | cut -d '"' -f 4
}

# log_in NAME: prints a session's token.
log_in() {
    open /v1/sessions "{\"email\":\"$1@example.com\",\"password\":\"$password\"}" | first token
}

# sign_up: makes ada the owner of Acme, and sets her session's token and the organization.
sign_up() {
    open /v1/signup "{\"email\":\"ada@example.com\",\"name\":\"Ada\",\"password\":\"$password\",\"organization\":\"Acme\"}" > /dev/null
    ada=$(log_in ada)
    organization=$(ask "$ada" GET /v1/account | first organization_id)
}

# call SECRET METHOD PATH [JSON]: the status that the gateway answers with.
call() {
    local body=()
    [ $# -lt 4 ] || body=(--json "$4")
    curl --silent --output /dev/null --write-out '%{http_code}' --request "$2" --header "Authorization: Bearer $1" \
        ${body[@]+"${body[@]}"} "$GATEWAY$3"
}
