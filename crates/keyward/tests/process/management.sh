# From a fresh Keyward to a revoked key, with nothing but curl and the management API.
#
# MANAGE and GATEWAY are the URLs of its two listeners, SETUP is the token that its console showed. Each step says what it did.
source "${BASH_SOURCE%/*}/asking.sh"

# number NAME: the first number of this name in a JSON text.
number() {
    grep -o "\"$1\":[0-9]*" | head -n 1 | cut -d : -f 2
}

# eventually WHAT COMMAND...: waits until the command succeeds, but not for ever.
eventually() {
    local what=$1 end=$((SECONDS + 90))
    shift
    until "$@"; do
        if [ "$SECONDS" -ge "$end" ]; then
            echo "still not so: $what" >&2
            exit 1
        fi
        sleep 0.1
    done
}

# reads SECRET: the status that the gateway answers with.
reads() {
    call "$1" GET /read/x
}

# refuses SECRET: whether the gateway does.
refuses() {
    [ "$(reads "$1")" = 401 ]
}

open /v1/setup "{\"token\":\"$SETUP\",\"email\":\"ops@example.com\",\"name\":\"Ops\",\"password\":\"$password\"}" > /dev/null
echo "set up"

sign_up
echo "signed up: $organization"

invitation=$(ask "$ada" POST "/v1/organizations/$organization/invitations" '{"email":"dev@example.com","role":"developer"}' | first token)
open /v1/invitations/accept "{\"token\":\"$invitation\",\"name\":\"Dev\",\"password\":\"$password\"}" > /dev/null
dev=$(log_in dev)
echo "invited and logged in"

made=$(ask "$dev" POST "/v1/organizations/$organization/keys" '{"api":"main","name":"ci","permissions":["read"]}')
key=$(echo "$made" | first id)
old=$(echo "$made" | first secret)
old_id=$(echo "$made" | first secret_id)
echo "made $key; the gateway says $(reads "$old")"

# use_of PATTERN: whether the key's first secret is shown with this. Uses are told some seconds late.
use_of() {
    use=$(ask "$dev" GET "/v1/keys/$key" | grep -o "{\"id\":\"$old_id\"[^}]*}" | head -n 1)
    grep -q "$1" <<< "$use"
}

eventually "the first use is told" use_of '"requests":1'
new=$(ask "$dev" POST "/v1/keys/$key/rotate" '{"overlap_seconds":3600}' | first secret)
echo "rotated; the gateway says $(reads "$old") to the old secret and $(reads "$new") to the new"
eventually "the old secret's last use is told" use_of '"requests_since_replaced":1'
echo "the old secret was last used from $(first last_used_from <<< "$use"), $(number requests <<< "$use") times, of these $(number requests_since_replaced <<< "$use") since it was replaced"

retire="/v1/keys/$key/secrets/$old_id/retire"
refused=$(ask "$dev" POST "$retire" 2> /dev/null || true)
echo "not retired: $(first code <<< "$refused"); the gateway says $(reads "$old") to the old secret"
ask "$dev" POST "$retire?force=true" > /dev/null
eventually "the old secret is refused" refuses "$old"
echo "retired; the gateway says $(reads "$old") to the old secret and $(reads "$new") to the new"

revoked=$(ask "$ada" POST "/v1/keys/$key/revoke")
revision=$(number revision <<< "$revoked")
applied() {
    receipt=$(ask "$ada" GET "/v1/keys/$key/receipt")
    grep -q '"everywhere":true' <<< "$receipt" && [ "$(number revision <<< "$receipt")" = "$revision" ]
}
eventually "the revocation is applied everywhere" applied
# Once the receipt says so, the next request is refused: nothing is waited for.
echo "revoked; the receipt says everywhere, at $(first applied_at <<< "$receipt"); the gateway says $(reads "$new")"

program=$(ask "$ada" POST "/v1/organizations/$organization/keys" '{"api":"keyward","name":"provisioning","permissions":["keys:write"]}')
manager=$(echo "$program" | first secret)
manager_id=$(echo "$program" | first id)

# once SECRET: makes a key under one Idempotency-Key.
once() {
    curl --silent --show-error --fail-with-body --header "Authorization: Bearer $1" --header "Idempotency-Key: 8e03978e" \
        --json '{"api":"main","name":"made by a program","permissions":["read"]}' "$MANAGE/v1/organizations/$organization/keys"
}

made=$(once "$manager")
[ "$(once "$manager")" = "$made" ] && echo "made by a program, once; asked again, it is told the same"
echo "the gateway says $(reads "$manager") to the management key"
ask "$manager" POST "/v1/keys/$(echo "$made" | first id)/revoke" > /dev/null
ask "$ada" POST "/v1/keys/$manager_id/revoke" > /dev/null
echo "refused: $(ask "$manager" GET "/v1/organizations/$organization/keys" 2> /dev/null | first detail)"

# Who did what is told to those who see to the organization, newest first, and holds no secret.
log=$(ask "$ada" GET "/v1/organizations/$organization/audit-entries?limit=100")
for secret in "$password" "$ada" "$dev" "$invitation" "$old" "$new" "$manager" "$(first secret <<< "$made")"; do
    if grep -qF -- "$secret" <<< "$log"; then
        echo "a secret is in the audit log" >&2
        exit 1
    fi
done
echo "the audit log holds no secret, and says:" $(grep -o '"action":"[^"]*"' <<< "$log" | cut -d '"' -f 4)
if ask "$dev" GET "/v1/organizations/$organization/audit-entries" > /dev/null 2>&1; then
    echo "a developer reads the audit log" >&2
    exit 1
fi
