#include "bind/group-values.h"

#include "bind/index-values.h"
#include "bind/kafka-fields.h"

namespace mq {
namespace {

constexpr int64_t kOffsetMax = 9007199254740991;

Napi::Object PlaceObject(Napi::Env env, const kafka::Place& place) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("topic", place.topic);
  object.Set("partition", place.partition);
  return object;
}

bool IsArray(Napi::Env env, napi_value value) {
  if (value != nullptr && Napi::Value(env, value).IsArray()) return true;
  Napi::TypeError::New(env, "an array is needed").ThrowAsJavaScriptException();
  return false;
}

bool ReadPlaceOf(Napi::Env env, napi_value object, kafka::Place* place) {
  int64_t partition = 0;
  if (!ReadString(env, FieldOf(env, object, "topic"), "topic", &place->topic) ||
      !ReadNumber(env, object, "partition", 0, INT32_MAX, 0, &partition)) {
    return false;
  }
  place->partition = static_cast<int32_t>(partition);
  return true;
}

}  // namespace

napi_value MakePlaces(Napi::Env env, const std::vector<kafka::Place>& places) {
  Napi::Array array = Napi::Array::New(env, places.size());
  for (uint32_t i = 0; i < places.size(); i++) array.Set(i, PlaceObject(env, places[i]));
  return array;
}

napi_value MakeOffsets(Napi::Env env, const std::vector<kafka::GroupOffset>& offsets) {
  Napi::Array array = Napi::Array::New(env, offsets.size());
  for (uint32_t i = 0; i < offsets.size(); i++) {
    Napi::Object object = PlaceObject(env, offsets[i].place);
    if (offsets[i].offset >= 0) {
      object.Set("offset", static_cast<double>(offsets[i].offset));
    } else {
      object.Set("offset", env.Undefined());
    }
    object.Set("metadata", offsets[i].metadata);
    array.Set(i, object);
  }
  return array;
}

napi_value MakeBatch(Napi::Env env, kafka::GroupBatch* batch) {
  Napi::Object object = PlaceObject(env, batch->place);
  object.Set("records", MakeRecords(env, std::move(batch->records)));
  SetIndex(env, object, batch->index);
  object.Set("nextOffset", static_cast<double>(batch->next));
  object.Set("endOffset", static_cast<double>(batch->end));
  return object;
}

bool ReadNames(Napi::Env env, napi_value value, std::vector<std::string>* names) {
  if (!IsArray(env, value)) return false;
  Napi::Array array(env, value);
  for (uint32_t i = 0; i < array.Length(); i++) {
    std::string name;
    if (!ReadString(env, array.Get(i), "topic", &name)) return false;
    names->push_back(std::move(name));
  }
  return true;
}

bool ReadPlaces(Napi::Env env, napi_value value, std::vector<kafka::Place>* places) {
  if (!IsArray(env, value)) return false;
  Napi::Array array(env, value);
  for (uint32_t i = 0; i < array.Length(); i++) {
    kafka::Place place;
    if (!ReadPlaceOf(env, array.Get(i), &place)) return false;
    places->push_back(std::move(place));
  }
  return true;
}

bool ReadOffsets(Napi::Env env, napi_value value, std::vector<kafka::GroupOffset>* offsets) {
  if (!IsArray(env, value)) return false;
  Napi::Array array(env, value);
  for (uint32_t i = 0; i < array.Length(); i++) {
    Napi::Value entry = array.Get(i);
    kafka::GroupOffset offset;
    if (!ReadPlaceOf(env, entry, &offset.place) ||
        !ReadNumber(env, entry, "offset", 0, kOffsetMax, 0, &offset.offset) ||
        !ReadString(env, FieldOf(env, entry, "metadata"), "metadata", &offset.metadata)) {
      return false;
    }
    offsets->push_back(std::move(offset));
  }
  return true;
}

bool ReadPlace(const Napi::CallbackInfo& info, kafka::Place* place) {
  Napi::Env env = info.Env();
  double partition = -1;
  if (!ReadString(env, info[0], "topic", &place->topic)) return false;
  if (napi_get_value_double(env, info[1], &partition) != napi_ok || !(partition >= 0) ||
      partition > INT32_MAX) {
    Napi::RangeError::New(env, "partition must be a whole number from 0")
        .ThrowAsJavaScriptException();
    return false;
  }
  place->partition = static_cast<int32_t>(partition);
  return true;
}

}  // namespace mq
