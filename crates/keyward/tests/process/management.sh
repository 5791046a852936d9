# From a fresh Keyward to a revoked key, with nothing but curl and the management API.
#
# MANAGE and GATEWAY are its two addresses, SETUP is the token that its console showed. Each step says what it did.
set -euo pipefail

password="correct horse battery"

# ask TOKEN METHOD PATH [JSON]: the answer's body; anything but a 2xx ends the script.
ask() {
    local body=()
    [ $# -lt 4 ] || body=(--json "$4")
    curl --silent --show-error --fail-with-body --request "$2" --header "Authorization: Bearer $1" \
        ${body[@]+"${body[@]}"} "http://$MANAGE$3"
}

# open PATH JSON: the same for whoever is not known yet.
open() {
    curl --silent --show-error --fail-with-body --json "$2" "http://$MANAGE$1"
}

# first NAME: the first text member of this name in a JSON text.
first() {
    grep -o "\"$1\":\"[^\"]*\"" | head -n 1 | cut -d '"' -f 4
}

# call SECRET: the status that the gateway answers with.
call() {
    curl --silent --output /dev/null --write-out '%{http_code}' --header "Authorization: Bearer $1" \
        "http://$GATEWAY/read/x"
}

open /v1/setup "{\"token\":\"$SETUP\",\"email\":\"ops@example.com\",\"name\":\"Ops\",\"password\":\"$password\"}" > /dev/null
echo "set up"

open /v1/signup "{\"email\":\"ada@example.com\",\"name\":\"Ada\",\"password\":\"$password\",\"organization\":\"Acme\"}" > /dev/null
ada=$(open /v1/sessions "{\"email\":\"ada@example.com\",\"password\":\"$password\"}" | first token)
organization=$(ask "$ada" GET /v1/account | first organization_id)
echo "signed up: $organization"

invitation=$(ask "$ada" POST "/v1/organizations/$organization/invitations" '{"email":"dev@example.com","role":"developer"}' | first token)
open /v1/invitations/accept "{\"token\":\"$invitation\",\"name\":\"Dev\",\"password\":\"$password\"}" > /dev/null
dev=$(open /v1/sessions "{\"email\":\"dev@example.com\",\"password\":\"$password\"}" | first token)
echo "invited and logged in"

made=$(ask "$dev" POST "/v1/organizations/$organization/keys" '{"api":"main","name":"ci","permissions":["read"]}')
key=$(echo "$made" | first id)
old=$(echo "$made" | first secret)
old_id=$(echo "$made" | first secret_id)
echo "made $key; the gateway says $(call "$old")"

new=$(ask "$dev" POST "/v1/keys/$key/rotate" '{"overlap_seconds":3600}' | first secret)
echo "rotated; the gateway says $(call "$old") to the old secret and $(call "$new") to the new"

# The last use is told some seconds late.
for _ in $(seq 3000); do
    shown=$(ask "$dev" GET "/v1/keys/$key")
    if grep -q '"last_used_from":"127.0.0.1"' <<< "$shown"; then break; fi
done
echo "the old secret was last used from $(echo "$shown" | first last_used_from)"

# It was used after it was replaced: without force, whoever still uses it would be cut off.
ask "$dev" POST "/v1/keys/$key/secrets/$old_id/retire?force=true" > /dev/null
until [ "$(call "$old")" = 401 ]; do :; done
echo "retired; the gateway says $(call "$old") to the old secret and $(call "$new") to the new"

ask "$ada" POST "/v1/keys/$key/revoke" > /dev/null
until [ "$(call "$new")" = 401 ]; do :; done
echo "revoked; the gateway says $(call "$new")"

program=$(ask "$ada" POST "/v1/organizations/$organization/keys" '{"api":"keyward","name":"provisioning","permissions":["keys:write"]}')
manager=$(echo "$program" | first secret)
manager_id=$(echo "$program" | first id)

# once SECRET: makes a key under one Idempotency-Key.
once() {
    curl --silent --show-error --fail-with-body --header "Authorization: Bearer $1" --header "Idempotency-Key: 8e03978e" \
        --json '{"api":"main","name":"made by a program","permissions":["read"]}' "http://$MANAGE/v1/organizations/$organization/keys"
}

made=$(once "$manager")
[ "$(once "$manager")" = "$made" ] && echo "made by a program, once; asked again, it is told the same"
echo "the gateway says $(call "$manager") to the management key"
ask "$manager" POST "/v1/keys/$(echo "$made" | first id)/revoke" > /dev/null
ask "$ada" POST "/v1/keys/$manager_id/revoke" > /dev/null
echo "refused: $(ask "$manager" GET "/v1/organizations/$organization/keys" 2> /dev/null | first detail)"
