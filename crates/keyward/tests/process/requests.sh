# A key that is asked for by one person and approved by another, with nothing but curl, the management API and the mails.
#
# MANAGE and GATEWAY are the URLs of the two listeners, MAIL the folder that mails are written to. What the approver was answered goes
# into the file APPROVER, and the claimed key into the file CLAIMED, so that the one can be searched for the other.
source "${BASH_SOURCE%/*}/asking.sh"

# approver METHOD PATH [JSON]: as the one who decides; every answer is kept, whatever it is.
approver() {
    local body=()
    [ $# -lt 3 ] || body=(--json "$3")
    curl --silent --show-error --include --request "$1" --header "Authorization: Bearer $adm" \
        ${body[@]+"${body[@]}"} "$MANAGE$2" | tee -a "$APPROVER"
}

# status TOKEN METHOD PATH: the status alone.
status() {
    curl --silent --output /dev/null --write-out '%{http_code}' --request "$2" \
        --header "Authorization: Bearer $1" "$MANAGE$3"
}

# mail TO TEXT: waits for a mail to somebody that has this in it, and shows it.
mail() {
    local found
    for _ in $(seq 3000); do
        found=$(grep --files-with-matches "^To: $1" "$MAIL"/*.eml 2> /dev/null | xargs -r grep --files-with-matches -e "$2" | head -n 1) || true
        if [ -n "$found" ]; then
            cat "$found"
            return
        fi
    done
    echo "no mail to $1 with $2" >&2
    exit 1
}

# invite NAME ROLE: a member, by the token that only the mail holds; prints a session's token.
invite() {
    local answer token
    answer=$(ask "$ada" POST "/v1/organizations/$organization/invitations" "{\"email\":\"$1@example.com\",\"role\":\"$2\"}")
    grep -q '"token":null' <<< "$answer"
    token=$(mail "$1@example.com" kwinv_ | grep -o 'kwinv_[0-9a-z]*' | head -n 1)
    open /v1/invitations/accept "{\"token\":\"$token\",\"name\":\"$1\",\"password\":\"$password\"}" > /dev/null
    log_in "$1"
}

sign_up
adm=$(invite adm administrator)
dev=$(invite dev developer)
echo "invited by mail and logged in"

echo "making one oneself: $(curl --silent --output /dev/null --write-out '%{http_code}' --header "Authorization: Bearer $dev" \
    --json '{"api":"inference","name":"nightly","permissions":["inference:read"]}' "$MANAGE/v1/organizations/$organization/keys")"

asked=$(ask "$dev" POST "/v1/organizations/$organization/key-requests" \
    '{"api":"inference","name":"nightly","permissions":["inference:read","inference:write","analytics:read"],"reason":"The nightly batch","lifetime_seconds":2592000}')
request=$(echo "$asked" | first id)
mail adm@example.com "$request" | grep -q 'The nightly batch'
echo "asked, and the administrator was told"

approver GET "/v1/organizations/$organization/key-requests?state=open" | grep -q "$request"
approver GET "/v1/key-requests/$request" > /dev/null
approver POST "/v1/key-requests/$request/approve" '{"permissions":["inference:write"],"lifetime_seconds":604800,"note":"Writing is enough"}' > /dev/null
mail dev@example.com "Writing is enough" | grep -q '7 days'
echo "approved for less, and who asked was told"

approver POST "/v1/key-requests/$request/claim" > /dev/null
echo "claimed by the approver: $(status "$adm" POST "/v1/key-requests/$request/claim")"
claimed=$(ask "$dev" POST "/v1/key-requests/$request/claim")
secret=$(echo "$claimed" | first secret)
key=$(echo "$claimed" | first id)
echo "$secret" > "$CLAIMED"
echo "claimed once more: $(status "$dev" POST "/v1/key-requests/$request/claim")"

approver GET "/v1/key-requests/$request" | grep -q '"state":"claimed"'
approver GET "/v1/organizations/$organization/key-requests" > /dev/null
approver GET "/v1/organizations/$organization/keys" | grep -q "$key"
approver GET "/v1/keys/$key" > /dev/null
approver POST "/v1/key-requests/$request/approve" '{}' > /dev/null
approver POST "/v1/key-requests/$request/deny" '{"reason":"too late"}' > /dev/null

until [ "$(call "$secret" POST /v1/inference '{"model":"gpt-4","prompt":"Hello"}')" = 200 ]; do :; done
echo "granted inference:write: $(call "$secret" POST /v1/inference '{"model":"gpt-4","prompt":"Hello"}')"
echo "asked and not granted inference:read: $(call "$secret" GET /v1/inference)"
echo "asked and not granted analytics:read: $(call "$secret" GET /v1/analytics/usage)"
echo "never asked admin: $(call "$secret" PUT /v1/inference/settings '{}')"
